#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: give a host's SELinux policy the rules that checkpoint and restore need."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_policy
short_description: Install an SELinux policy module that allows checkpoint and restore
version_added: 0.1.0
description:
  - Generates the policy module C(criu_hosts) for this host and installs it. It has only the rules that the chosen
    purposes need, each with its reason and with the denial that was recorded without it, and leaves out rules that the
    host's policy has no types or permissions for.
  - Where the distribution's policy allows a purpose already (container-selinux on Fedora and RHEL, recognized by its
    type C(container_runtime_exec_t)), the module installs no rules for it and returns it in RV(policy.provided).
  - All rules that only a restore needs depend on the boolean C(criu_container_restore), which is off.
    M(criu.hosts.container_restore) switches it on for the restore.
  - A change is one call of C(semodule), so the policy is compiled and loaded once. Without a change there is no call.
options:
  purposes:
    description:
      - The purposes of the host. A rule that none of them needs is left out.
      - V(podman_units) is for Podman started by systemd, V(root_shell) for Podman in a root shell, as with Ansible over
        ssh.
      - V(established_tcp) allows containers to keep their TCP connections. It needs one of the two above.
      - V(processes) allows root to restore processes outside containers while the boolean C(unconfined_dyntrans_all) is
        on.
      - V(non_root) allows users, unconfined or confined (C(user_t)), to run CRIU on their own processes, see
        M(criu.hosts.criu_non_root).
    type: list
    elements: str
    choices:
      - podman_units
      - root_shell
      - established_tcp
      - processes
      - non_root
    default:
      - podman_units
      - root_shell
      - established_tcp
      - processes
  unconfined_dyntrans_all:
    description:
      - The default value of the boolean of this name, if the host's policy lacks it and the module declares it.
      - Otherwise M(criu.hosts.selinux_boolean) sets it.
    type: bool
    default: false
  state:
    description: V(present) installs or updates the policy module. V(absent) removes it.
    type: str
    choices:
      - present
      - absent
    default: present
  priority:
    description: The priority to install at, from 1 to 999.
    type: int
    default: 400
extends_documentation_fragment:
  - criu.hosts._attributes
requirements:
  - semodule (Debian and Red Hat family, package policycoreutils), for a change only
notes:
  - Needs root.
seealso:
  - module: criu.hosts.selinux_module
    description: Installs your own policy module.
  - module: criu.hosts.selinux_boolean
  - module: criu.hosts.container_restore
  - name: The policy module criu_hosts
    description: All its rules, with their reasons.
    link: https://github.com/criu-hosts/criu.hosts/blob/main/docs/selinux-policy.md
author:
  - criu.hosts developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Allow units and root to checkpoint and restore containers
  criu.hosts.criu_policy:

- name: The same for services only, without TCP connections
  criu.hosts.criu_policy:
    purposes: [podman_units]

- name: Remove the rules again
  criu.hosts.criu_policy:
    state: absent
"""

RETURN = r"""
policy:
  description: The policy module after the task. Check mode predicts it.
  returned: success
  type: dict
  contains:
    name:
      description: The name of the module.
      type: str
      sample: criu_hosts
    priority:
      description: The value of O(priority).
      type: int
      sample: 400
    state:
      description: V(present) or V(absent), which it also is if the distribution's policy needs no further rules.
      type: str
      sample: present
    checksum:
      description: Checksum of the text, as C(semodule -lfull --checksum) prints it; V(null) if the module is absent.
      type: str
      sample: sha256:40e28ed211d59b4032e1f1bd900528c0ce986c12007d07431a94133a04ed1974
    purposes:
      description: The value of O(purposes).
      type: list
      elements: str
      sample: [podman_units, root_shell]
    provided:
      description: The purposes that the distribution's policy allows already.
      type: list
      elements: str
      sample: []
    rules:
      description: The number of rules in the module.
      type: int
      sample: 75
    left_out:
      description: Rules that were left out because the policy lacks a type, class or permission in them.
      type: list
      elements: dict
      contains:
        rule:
          description: The rule.
          type: str
          sample: "allow podman_t self:anon_inode { create ioctl }"
        missing:
          description: The name that the policy lacks.
          type: str
          sample: class anon_inode
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
  sample: [[semodule, -X, "400", -i, /var/lib/selinux/default/criu-hosts.criu_hosts/criu_hosts.cil]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(priority_invalid) if O(priority) is not from 1 to 999.
    - V(store_missing) if the host has no policy store.
    - V(policy_missing) if the host has no compiled policy.
    - V(policy_invalid) if semodule rejects the module.
    - V(module_foreign) if a module with this name and O(priority) was not made by this module.
    - V(not_root) if the policy cannot be read, as the task does not run as root.
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
  sample: store_missing
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /var/lib/selinux/default/criu-hosts.criu_hosts
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [semodule, -X, "400", -i, /var/lib/selinux/default/criu-hosts.criu_hosts/criu_hosts.cil]
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
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._formats.binary_policy import PolicyFile
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DYNTRANS_BOOLEAN, NAME
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.host import SelinuxHost, disk_policy, read_host
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.module import (
    SHARED_SPEC,
    StoredModule,
    WantedModule,
    check_priority,
    cil_source,
    describe_module,
    module_warnings,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.module_store import (
    booleans_of_others,
    change_module,
    read_module,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.generate import SIGN, Made, make_policy
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.rules import (
    CATALOG,
    PURPOSES,
    USUAL_PURPOSES,
)

SPEC: dict[str, Any] = {
    **SHARED_SPEC,
    "purposes": {"type": "list", "elements": "str", "choices": list(PURPOSES), "default": list(USUAL_PURPOSES)},
    "unconfined_dyntrans_all": {"type": "bool", "default": False},
}


def made_for(ctx: Context, host: SelinuxHost, stored: StoredModule) -> Made:
    """Generates the module for this host.

    Raises:
        CheckpointError: policy_missing.
    """
    purposes = [purpose for purpose in PURPOSES if purpose in ctx.params["purposes"]]
    if ctx.params["state"] == "absent":
        return Made(())
    policy = disk_policy(host)
    if not policy:
        raise CheckpointError(
            f"Cannot generate a policy module for this host: there is no compiled policy {host.policy_type!r} in "
            "/etc/selinux. Install the package selinux-policy-default (Debian) or selinux-policy-targeted (Red Hat "
            "family).",
            reason="policy_missing",
        )
    found = booleans_of_others(host, stored, set(CATALOG.booleans))
    return make_policy(CATALOG, purposes, PolicyFile(policy, found))


def refuse_foreign(stored: StoredModule, priority: int) -> None:
    """Refuses to replace or remove a module of this name that criu_policy did not generate.

    Raises:
        CheckpointError: module_foreign.
    """
    entry = stored.at(priority)
    if entry is not None and SIGN not in entry.text and CATALOG.booleans[0] not in entry.text:
        raise CheckpointError(
            f"Cannot change policy module {NAME!r} at priority {priority}: criu_policy did not generate it. "
            f"Set a different priority, or remove it with semodule -X {priority} -r {NAME} if it is not needed.",
            reason="module_foreign",
        )


def describe(after: StoredModule, priority: int, made: Made) -> dict[str, Any]:
    """Returns the main value of the module."""
    view = describe_module(after, priority)
    return {
        **{key: view[key] for key in ("name", "priority", "state", "checksum")},
        "purposes": list(made.purposes),
        "provided": list(made.provided),
        "rules": len(made.kept),
        "left_out": [{"rule": rule.text, "missing": lack} for rule, lack in made.left_out],
    }


def run(ctx: Context) -> Outcome:
    """Reads the policy, plans and applies the change, and reads it again."""
    priority = check_priority(ctx.params["priority"])
    with ctx.hold("selinux", f"module {NAME}"):
        return ensure(ctx, priority)


def ensure(ctx: Context, priority: int) -> Outcome:
    host = read_host(ctx.paths)
    nothing = host.store is None and ctx.params["state"] == "absent"
    stored = StoredModule(NAME) if nothing else read_module(host, NAME)
    refuse_foreign(stored, priority)
    made = made_for(ctx, host, stored)
    text = made.text({DYNTRANS_BOOLEAN: ctx.params["unconfined_dyntrans_all"]})
    after, plan = change_module(
        ctx, host, stored, WantedModule(NAME, priority, True, cil_source(NAME, text) if text else None)
    )
    return Outcome(
        "policy",
        describe(after, priority, made),
        plan,
        facts={"selinux_mode": host.mode},
        warnings=module_warnings(after, priority),
    )


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
