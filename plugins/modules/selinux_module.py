#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: install, enable, disable and remove SELinux policy modules."""

from __future__ import annotations

DOCUMENTATION = r"""
module: selinux_module
short_description: Install, enable, disable and remove an SELinux policy module
version_added: 0.1.0
description:
  - Installs a policy module at a priority, as CIL text or as a CIL or C(pp) file, or enables, disables or removes it.
  - Compares the module with the one in the policy store by checksum. If they are the same, no command runs and the
    policy store is not written.
  - Every change is one call of C(semodule), so the policy is compiled and loaded once. If the call fails, for example
    because of a mistake in the module, the policy store does not change.
  - After a change of the loaded policy, the module removes C(/run/criu.kdat). CRIU caches in it what the kernel allowed
    under the old policy, and would use this cache until the next boot.
options:
  name:
    description: The name of the policy module.
    type: str
    required: true
  state:
    description:
      - V(present) installs the module, and enables or disables it according to O(enabled).
      - V(absent) removes the module at O(priority). Modules of that name at other priorities stay.
    type: str
    choices:
      - present
      - absent
    default: present
  content:
    description:
      - The CIL text of the module.
      - Either this or O(path) is required for O(state=present).
    type: str
  path:
    description:
      - A file on the managed host with a name that ends in V(.cil), V(.pp) or V(.pp.bz2).
      - The name inside a C(pp) file must be O(name).
    type: path
  enabled:
    description:
      - Whether the module is part of the policy. A disabled module stays in the store.
      - SELinux stores this by name, so it applies to the modules of that name at all priorities.
    type: bool
    default: true
  priority:
    description:
      - The priority to install at, from 1 to 999. Of several modules with one name, the highest priority wins.
      - Distributions install at 100 or 200. The default of C(semodule) is 400.
    type: int
    default: 400
  declare_booleans:
    description:
      - Booleans that O(content) uses, with their default values. The module gets a declaration of each one that neither
        O(content) nor the rest of the host's policy declares.
      - So the same text works on hosts with and without the boolean in their policy. If an upgrade adds the boolean to
        the distribution's policy, the two declarations conflict. Remove the module before such an upgrade.
      - Ignored with O(path).
    type: dict
    default: {}
requirements:
  - semodule (Debian and Red Hat family, package policycoreutils)
  - a policy (Debian, package selinux-policy-default; Red Hat family, package selinux-policy-targeted)
notes:
  - Needs root.
  - Where SELinux is disabled and a policy store exists, for example in a chroot where an image is built, the store is
    changed and nothing is loaded. The next boot with SELinux uses it.
  - Check mode does not compile the module, so most mistakes in a module are found only in a real run.
extends_documentation_fragment:
  - criu.hosts._attributes
attributes:
  idempotent:
    details: With C(remove-hll=true) in C(semanage.conf), the store does not keep C(pp) files, so a C(pp) file is
      installed each time. CIL modules are not affected.
seealso:
  - module: criu.hosts.selinux_boolean
  - name: semodule(8)
    description: The command that the module runs.
    link: https://man7.org/linux/man-pages/man8/semodule.8.html
  - name: SELinux CIL reference
    description: The language of O(content).
    link: https://github.com/SELinuxProject/selinux/tree/main/secilc/docs
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Allow podman to read one more type of file
  criu.hosts.selinux_module:
    name: site_podman
    content: |
      (allow podman_t etc_t (file (getattr open read)))

- name: Install a policy package that was copied to the host
  criu.hosts.selinux_module:
    name: site_agent
    path: /usr/local/share/selinux/site_agent.pp
    priority: 300

- name: Install a module that uses a boolean, and declare the boolean if the host's policy lacks it
  criu.hosts.selinux_module:
    name: site_restore
    content: |
      (booleanif unconfined_dyntrans_all (true (allow unconfined_t initrc_t (process (dyntransition)))))
    declare_booleans:
      unconfined_dyntrans_all: false

- name: Switch the boolean on
  criu.hosts.selinux_boolean:
    name: unconfined_dyntrans_all
    value: true

- name: Keep a module in the store but out of the policy
  criu.hosts.selinux_module:
    name: site_agent
    path: /usr/local/share/selinux/site_agent.pp
    priority: 300
    enabled: false

- name: Remove a module
  criu.hosts.selinux_module:
    name: site_podman
    state: absent
"""

RETURN = r"""
changed:
  description: Whether the policy store was changed, or would be changed by a real run.
  returned: success
  type: bool
  sample: true
module:
  description: The policy module at the priority in the store after the task. Check mode predicts it.
  returned: success
  type: dict
  contains:
    name:
      description: The name of the module.
      type: str
      sample: site_podman
    priority:
      description: The value of O(priority).
      type: int
      sample: 400
    state:
      description: V(present) or V(absent).
      type: str
      sample: present
    enabled:
      description: Whether the module is present and enabled.
      type: bool
      sample: true
    language:
      description: V(cil) or V(pp); V(null) if the module is absent.
      type: str
      sample: cil
    checksum:
      description: Checksum of the module's source in the store. For CIL it is that of C(semodule -lfull --checksum).
      type: str
      sample: sha256:40e28ed211d59b4032e1f1bd900528c0ce986c12007d07431a94133a04ed1974
    other_priorities:
      description: The other priorities with a module of this name. A higher one overrides this one.
      type: list
      elements: int
      sample: [100]
selinux_mode:
  description:
    - V(enforcing), V(permissive) or V(disabled).
    - An operation that works in permissive mode may be denied in enforcing mode.
  returned: success
  type: str
  sample: enforcing
commands:
  description: Argument lists of the commands that change the host. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[semodule, -X, "400", -i, /var/lib/selinux/default/criu-hosts.site_podman/site_podman.cil]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(name_invalid) if O(name), or a name in O(declare_booleans), cannot be the name of a module or boolean.
    - V(priority_invalid) if O(priority) is not from 1 to 999.
    - V(boolean_invalid) if a default in O(declare_booleans) is neither true nor false.
    - V(source_missing) if there is no file O(path).
    - V(policy_invalid) if the text or file is not a valid module; RV(ignore:msg) has the line that the compiler names.
    - V(store_missing) if the host has no policy store.
    - V(not_root) if the policy store cannot be read, as the task does not run as root.
    - V(store_locked) if a different process is changing the policy.
    - V(change_lost) if semodule succeeded and the policy store does not hold the change.
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be written.
    - V(busy) if a different task has changed the same policy module for a minute.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: policy_invalid
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /usr/local/share/selinux/site_agent.pp
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [semodule, -X, "400", -i, /var/lib/selinux/default/criu-hosts.site_podman/site_podman.cil]
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
cleanup_failed:
  description: Messages of the steps that failed as well when the task cleaned up.
  returned: failure of the cleanup as well
  type: list
  elements: str
  sample: []
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.host import SelinuxHost, check_name, read_host
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.module import (
    SHARED_SPEC,
    Source,
    StoredModule,
    WantedModule,
    check_booleans,
    check_priority,
    cil_source,
    declare_missing,
    describe_module,
    module_warnings,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.module_store import (
    booleans_of_others,
    change_module,
    read_module,
    read_source,
)

SPEC: dict[str, Any] = {
    **SHARED_SPEC,
    "name": {"type": "str", "required": True},
    "content": {"type": "str"},
    "path": {"type": "path"},
    "enabled": {"type": "bool", "default": True},
    "declare_booleans": {"type": "dict", "default": {}},
}


def source_of(ctx: Context, host: SelinuxHost, stored: StoredModule) -> Source | None:
    """Returns the module to install; None if it should be absent."""
    if ctx.params["state"] == "absent":
        return None
    if ctx.params["content"] is None:
        return read_source(ctx.params["path"], stored.name)
    wanted = check_booleans(ctx.params["declare_booleans"])
    existing = booleans_of_others(host, stored, set(wanted)) if wanted else set()
    return cil_source(stored.name, declare_missing(ctx.params["content"], wanted, existing))


def run(ctx: Context) -> Outcome:
    """Reads the module, plans and applies the change, and reads it again."""
    name, priority = check_name(ctx.params["name"], "policy module"), check_priority(ctx.params["priority"])
    with ctx.hold("selinux", f"module {name}"):
        return ensure(ctx, name, priority)


def ensure(ctx: Context, name: str, priority: int) -> Outcome:
    host = read_host(ctx.paths)
    nothing = host.store is None and ctx.params["state"] == "absent"
    stored = StoredModule(name) if nothing else read_module(host, name)
    wanted = WantedModule(name, priority, ctx.params["enabled"], source_of(ctx, host, stored))
    after, plan = change_module(ctx, host, stored, wanted)
    return Outcome(
        "module",
        describe_module(after, priority),
        plan,
        facts={"selinux_mode": host.mode},
        warnings=module_warnings(after, priority),
    )


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        mutually_exclusive=[("content", "path")],
        required_if=[("state", "present", ("content", "path"), True)],
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
