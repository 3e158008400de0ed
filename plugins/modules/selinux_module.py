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
  - Installs a policy module, as CIL text or as a CIL or C(pp) file, at a priority; enables, disables or removes it.
  - The module in the policy store is compared byte for byte, by checksum. When it is right already, nothing runs
    and the policy store is not written.
  - Every change is one call of C(semodule), so the policy is compiled and loaded once. If that fails, for a mistake in
    the module for instance, the policy store stays as it was.
  - After a change of the loaded policy, C(/run/criu.kdat) is removed if it is there. CRIU keeps in it what the
    kernel allowed under the old policy, and would believe that until the next boot.
options:
  name:
    description: The name of the policy module.
    type: str
    required: true
  state:
    description:
      - V(present) installs the module, and enables or disables it as O(enabled) says.
      - V(absent) removes the module from the priority O(priority). Modules of that name at other priorities stay.
    type: str
    choices:
      - present
      - absent
    default: present
  content:
    description:
      - The CIL text of the module.
      - Either this or O(path) is needed for O(state=present).
    type: str
  path:
    description:
      - A file on the managed host that ends in V(.cil), V(.pp) or V(.pp.bz2).
      - A C(pp) file carries its name inside; it must be O(name).
    type: path
  enabled:
    description:
      - Whether the module is part of the policy. A disabled module stays in the store.
      - SELinux keeps this for a name, so it holds for the modules of that name at all priorities.
    type: bool
    default: true
  priority:
    description:
      - The priority to install at, from 1 to 999. Of the modules of one name, the one with the highest is used.
      - Distributions install at 100 or 200; the default of C(semodule) is 400.
    type: int
    default: 400
  declare_booleans:
    description:
      - Booleans that O(content) uses, with their default values. A declaration is added to the module for each one
        that neither O(content) nor the rest of the host's policy declares.
      - In this way one text serves hosts whose policy has the boolean and hosts whose policy lacks it. An upgrade
        that brings the boolean with the distribution's own policy clashes with ours; remove the module before it.
      - Not used with O(path).
    type: dict
    default: {}
requirements:
  - semodule (Debian and RedHat family, package policycoreutils)
  - a policy (Debian, package selinux-policy-default; RedHat family, package selinux-policy-targeted)
notes:
  - Needs root.
  - Where SELinux is disabled but a policy store exists, in a chroot where an image is built for instance, the store
    is changed and nothing is loaded. The next boot with SELinux uses it.
  - Check mode does not compile the module, so V(policy_invalid) is mostly found in a real run.
  - Further reasons are V(store_missing) (the host has no policy store), V(source_missing) (no file O(path)),
    V(policy_invalid) (the text or file is no valid module; RV(ignore:msg) carries the line that the compiler
    complained with), V(store_locked) (another process changes the policy), V(change_lost) (the change is not there
    afterwards), V(name_invalid) (no name for a module or boolean), V(boolean_invalid) (a default that is
    no boolean), V(priority_invalid) (not from 1 to 999) and V(not_root) (the policy store cannot be read).
extends_documentation_fragment:
  - criu.hosts._attributes
attributes:
  idempotent:
    details: With C(remove-hll=true) in C(semanage.conf) the store does not keep C(pp) files, and O(path) of such a
      file is installed each time. CIL modules are not concerned.
seealso:
  - module: criu.hosts.selinux_boolean
  - name: semodule(8)
    description: The command that the module uses.
    link: https://man7.org/linux/man-pages/man8/semodule.8.html
  - name: SELinux CIL reference
    description: The language of O(content).
    link: https://github.com/SELinuxProject/selinux/tree/main/secilc/docs
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Let podman read one more type of file
  criu.hosts.selinux_module:
    name: site_podman
    content: |
      (allow podman_t etc_t (file (getattr open read)))

- name: Install a policy package that was copied to the host
  criu.hosts.selinux_module:
    name: site_agent
    path: /usr/local/share/selinux/site_agent.pp
    priority: 300

- name: Install a module that uses a boolean, declared where the host's policy lacks it, and turn that on
  criu.hosts.selinux_module:
    name: site_restore
    content: |
      (booleanif unconfined_dyntrans_all (true (allow unconfined_t initrc_t (process (dyntransition)))))
    declare_booleans:
      unconfined_dyntrans_all: false

- name: Turn the boolean on
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
  description: Whether the policy store was, or would be, changed.
  returned: success
  type: bool
  sample: true
module:
  description: The policy module at the priority, as the store has it after the work; in check mode, as it would.
  returned: success
  type: dict
  contains:
    name:
      description: The name of the module.
      type: str
      sample: site_podman
    priority:
      description: The priority asked for.
      type: int
      sample: 400
    state:
      description: V(present) or V(absent).
      type: str
      sample: present
    enabled:
      description: Whether the module is there and enabled.
      type: bool
      sample: true
    language:
      description: V(cil) or V(pp), none if the module is absent.
      type: str
      sample: cil
    checksum:
      description: Checksum of the module's source in the store. For CIL, C(semodule -lfull --checksum) prints the same.
      type: str
      sample: sha256:40e28ed211d59b4032e1f1bd900528c0ce986c12007d07431a94133a04ed1974
    other_priorities:
      description: The other priorities that have a module of this name. A higher one hides this one.
      type: list
      elements: int
      sample: [100]
selinux_mode:
  description:
    - V(enforcing), V(permissive) or V(disabled).
    - What works in permissive mode may be denied in enforcing mode.
  returned: success
  type: str
  sample: enforcing
commands:
  description: The commands that changed, or would change, the host.
  returned: success
  type: list
  elements: list
  sample: [[semodule, -X, "400", -i, /var/lib/selinux/default/criu-hosts.site_podman/site_podman.cil]]
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
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
    """The module to install; None when it should be absent."""
    if ctx.params["state"] == "absent":
        return None
    if ctx.params["content"] is None:
        return read_source(ctx.params["path"], stored.name)
    wanted = check_booleans(ctx.params["declare_booleans"])
    existing = booleans_of_others(host, stored, set(wanted)) if wanted else set()
    return cil_source(stored.name, declare_missing(ctx.params["content"], wanted, existing))


def run(ctx: Context) -> Outcome:
    """Read, plan, apply, read again."""
    name, priority = check_name(ctx.params["name"], "policy module"), check_priority(ctx.params["priority"])
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
