#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: let users who are not root run CRIU."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_non_root
short_description: Let a group of users checkpoint and restore their own processes
version_added: 0.1.0
author:
  - The criu.hosts authors (!UNKNOWN)
description:
  - Gives the CRIU binary the file capabilities that it needs on this kernel, to one group that may run it, and takes
    the right to run it from everybody else but root.
  - The least is CAP_CHECKPOINT_RESTORE. CAP_SYS_PTRACE is added where C(kernel.yama.ptrace_scope) is 1 or 2.
  - Root, Podman and the OCI runtimes use the same binary as before.
  - A user calls C(criu --unprivileged). Debian's PATH of a user lacks the folder, so by its full path.
  - The role C(criu.hosts.criu) with C(criu_non_root) creates the group and calls the module after each installation.
extends_documentation_fragment:
  - criu.hosts._attributes
requirements:
  - setcap (Debian, package libcap2-bin; RedHat family, package libcap)
options:
  state:
    description: V(absent) takes the capabilities away and lets everybody run the file again, as it was installed.
    type: str
    choices: [present, absent]
    default: present
  group:
    description: The group that may run CRIU. It has to exist.
    type: str
    default: criu
  path:
    description: The CRIU binary; by default the one that a unit and a root shell run. Links are followed.
    type: path
  extra_capabilities:
    description:
      - Capabilities beyond the least. Each one is given to every member of the group.
      - V(net_admin) for C(--tcp-established). V(setpcap) for processes whose bounding set is smaller than the user's.
        V(sys_resource) for raised limits.
      - V(sys_ptrace) lets a member dump, and so read, the processes of every user, root's too.
    type: list
    elements: str
    choices: [net_admin, setpcap, sys_ptrace, sys_resource]
    default: []
  allow_sys_admin:
    description:
      - Whether CAP_SYS_ADMIN may be given on a kernel older than 5.9, which has no CAP_CHECKPOINT_RESTORE.
      - It makes every member of the group root.
    type: bool
    default: false
notes:
  - Needs root.
  - Further reasons are V(criu_missing) (no CRIU), V(group_missing) (no such group), V(kernel_too_old) (no
    CAP_CHECKPOINT_RESTORE, and O(allow_sys_admin=false)), V(ptrace_forbidden) (Yama forbids tracing) and
    V(change_lost) (the file system does not keep the capabilities).
  - SELinux has to let the users do it too; see the purpose V(non_root) of M(criu.hosts.criu_policy).
  - C(community.general.capabilities) sets one capability per call, leaves others in place, and its idempotence depends
    on how the installed libcap prints them; group and mode, which have to be right before the first capability is
    given, are other modules' there.
seealso:
  - module: criu.hosts.process_checkpoint
  - module: criu.hosts.criu_info
  - name: Checkpoints without root
    description: What works for whom, with output.
    link: https://github.com/criu-hosts/criu.hosts/blob/main/docs/without-root.md
"""

EXAMPLES = r"""
- name: Let the group criu checkpoint and restore its members' own processes
  criu.hosts.criu_non_root:
    group: criu

- name: With their established TCP connections
  criu.hosts.criu_non_root:
    group: criu
    extra_capabilities: [net_admin]

- name: Root only, as before
  criu.hosts.criu_non_root:
    state: absent
"""

RETURN = r"""
non_root:
  description: The binary after the task, or as it would be.
  returned: success
  type: dict
  contains:
    path:
      description: The binary; V(null) if there is no CRIU and O(state=absent).
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
  description: The commands that changed, or would change, the host.
  returned: success
  type: list
  elements: list
  sample: [[setcap, cap_checkpoint_restore=eip, /opt/criu-hosts/4.2.1-dd6d1bf01a1b/sbin/criu]]
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._criu.non_root import (
    EVERYBODY,
    HOST,
    NOBODY_ELSE,
    Access,
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
    """Read, plan, apply, read again."""
    host = HOST[0]
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
