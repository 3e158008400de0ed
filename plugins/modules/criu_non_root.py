#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: let users who are not root run CRIU."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_non_root
short_description: Allow a group of users to checkpoint and restore their own processes
version_added: 0.1.0
author:
  - The criu.hosts authors (!UNKNOWN)
description:
  - Gives the CRIU binary the file capabilities that it needs on this kernel, and permits only root and one group to run
    it.
  - The minimum is CAP_CHECKPOINT_RESTORE. CAP_SYS_PTRACE is added if C(kernel.yama.ptrace_scope) is 1 or 2.
  - Root, Podman and the OCI runtimes use the same binary as before.
  - Users run C(criu --unprivileged). On Debian they need its full path, as its folder is not in the PATH of users.
  - With C(criu_non_root), the role P(criu.hosts.criu#role) creates the group and runs the module after each
    installation.
extends_documentation_fragment:
  - criu.hosts._attributes
requirements:
  - setcap (Debian, package libcap2-bin; Red Hat family, package libcap)
options:
  state:
    description: V(absent) removes the capabilities and permits all users to run the file, as after its installation.
    type: str
    choices: [present, absent]
    default: present
  group:
    description: The group that may run CRIU. It must exist.
    type: str
    default: criu
  path:
    description: The CRIU binary. By default the one that units and root's shell run. Links are followed.
    type: path
  extra_capabilities:
    description:
      - Capabilities beyond the minimum. Every member of the group gets them.
      - V(net_admin) is for C(--tcp-established), V(setpcap) for processes with a smaller bounding set than the user's,
        and V(sys_resource) for raised limits.
      - With V(sys_ptrace) a member can dump, and so read, the processes of all users, including root's.
    type: list
    elements: str
    choices: [net_admin, setpcap, sys_ptrace, sys_resource]
    default: []
  allow_sys_admin:
    description:
      - Whether to give CAP_SYS_ADMIN on a kernel older than 5.9, which has no CAP_CHECKPOINT_RESTORE.
      - It makes every member of the group as powerful as root.
    type: bool
    default: false
notes:
  - Needs root.
  - SELinux must allow it as well, see the purpose V(non_root) of M(criu.hosts.criu_policy).
  - C(community.general.capabilities) is no replacement. It sets one capability per call and leaves others in place, and
    its idempotence depends on the output of the installed libcap. Group and mode, which must be right before the first
    capability is set, need further modules there.
seealso:
  - module: criu.hosts.process_checkpoint
  - module: criu.hosts.criu_info
  - name: Checkpoints without root
    description: A guide, with the output of each step.
    link: https://github.com/criu-hosts/criu.hosts/blob/main/docs/without-root.md
"""

EXAMPLES = r"""
- name: Allow the members of the group criu to checkpoint and restore their own processes
  criu.hosts.criu_non_root:
    group: criu

- name: The same with established TCP connections
  criu.hosts.criu_non_root:
    group: criu
    extra_capabilities: [net_admin]

- name: Allow it to root only
  criu.hosts.criu_non_root:
    state: absent
"""

RETURN = r"""
non_root:
  description: The binary after the task. Check mode predicts it.
  returned: success
  type: dict
  contains:
    path:
      description: Path of the binary; V(null) if there is no CRIU and O(state=absent).
      type: str
      sample: /opt/criu-hosts/4.2.1-dd6d1bf01a1b/sbin/criu
    group:
      description: Its group.
      type: str
      sample: criu
    mode:
      description: Its mode.
      type: str
      sample: "0750"
    capabilities:
      description: Its file capabilities.
      type: list
      elements: str
      sample: [cap_checkpoint_restore]
commands:
  description: Argument lists of the commands that change the host. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[setcap, cap_checkpoint_restore=eip, /opt/criu-hosts/4.2.1-dd6d1bf01a1b/sbin/criu]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(criu_missing) if there is no CRIU.
    - V(group_missing) if there is no group O(group).
    - V(kernel_too_old) if the kernel has no CAP_CHECKPOINT_RESTORE and O(allow_sys_admin=false).
    - V(ptrace_forbidden) if C(kernel.yama.ptrace_scope) is 3, so that no process can be traced.
    - V(change_lost) if the file does not keep the change, for example because of its file system.
    - V(busy) if a different task has worked on this host's CRIU for a minute.
    - V(file_failed) if a file or folder could not be written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: group_missing
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /run/criu-hosts/locks
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [setcap, cap_checkpoint_restore=eip, /opt/criu-hosts/4.2.1-dd6d1bf01a1b/sbin/criu]
rc:
  description: Exit status of that command.
  returned: failure of a command
  type: int
  sample: 1
stdout:
  description: Standard output of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: ""
stderr:
  description: Standard error of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: ""
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._criu.non_root import (
    EVERYBODY,
    NOBODY_ELSE,
    Access,
    RealSource,
    Source,
    binary_path,
    choose_capabilities,
    criu_missing,
    group_missing,
    plan_access,
)

SPEC = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "group": {"type": "str", "default": "criu"},
    "path": {"type": "path"},
    "extra_capabilities": {
        "type": "list",
        "elements": "str",
        "choices": ["net_admin", "setpcap", "sys_ptrace", "sys_resource"],
        "default": [],
    },
    "allow_sys_admin": {"type": "bool", "default": False},
}
NOTHING: dict[str, Any] = {"path": None, "group": "", "mode": "", "capabilities": []}


def run(ctx: Context) -> Outcome:
    """Reads the file, plans and applies the change, and reads it again."""
    with ctx.hold("criu", "installation"):
        return ensure(ctx)


def ensure(ctx: Context) -> Outcome:
    host: Source = RealSource(ctx.paths)
    present = ctx.params["state"] == "present"
    path = binary_path(ctx.params["path"] or ctx.runner.which("criu"))
    if path is None:
        if present:
            raise criu_missing(ctx.params["path"])
        return Outcome("non_root", NOTHING)
    wanted = Access("root", EVERYBODY, ())
    if present:
        chosen = choose_capabilities(
            host.kernel(), ctx.params["extra_capabilities"], allow_sys_admin=ctx.params["allow_sys_admin"]
        )
        if not host.has_group(ctx.params["group"]):
            raise group_missing(ctx.params["group"])
        wanted = Access(ctx.params["group"], NOBODY_ELSE, chosen)
    plan = plan_access(path, host.access(path), wanted)
    applied = ctx.apply(plan)
    after = host.access(path) if applied is not None else wanted
    if after != wanted:
        raise CheckpointError(
            f"Cannot let {wanted.group!r} run {path!r}: the commands succeeded, but the file is {after.view(path)}. "
            "Its file system may not keep capabilities; install CRIU on one that does.",
            reason="change_lost",
        )
    return Outcome("non_root", after.view(path), plan)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
