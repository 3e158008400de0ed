#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the runtime and the persistent value of an SELinux boolean."""

from __future__ import annotations

DOCUMENTATION = r"""
module: selinux_boolean
short_description: Set the runtime and the persistent value of an SELinux boolean
version_added: 0.1.0
description:
  - Compares the value that a boolean has now and the value that it gets at the next boot, each by itself, and sets
    what is not right.
  - Only a change of the persistent value writes the policy (C(setsebool -P), which takes seconds). If the persistent
    value is right already, a wrong runtime value is set without it.
  - The persistent value is read from the compiled policy that the next boot loads, not from a list of local
    changes; so it is true whoever set it.
options:
  name:
    description: The name of the boolean.
    type: str
    required: true
  value:
    description: The value to set.
    type: bool
    required: true
  persistent:
    description:
      - Whether the value holds after the next boot as well.
      - With V(false) only the runtime value is compared and set.
    type: bool
    default: true
requirements:
  - setsebool (Debian and RedHat family, package policycoreutils)
notes:
  - Needs root.
  - Further reasons are V(boolean_missing) (the loaded policy has no such boolean), V(selinux_disabled) (there is no
    loaded policy), V(store_locked) (another process changes the policy), V(change_lost) (the value is not there
    afterwards), V(name_invalid) (no name for a boolean) and V(not_root) (the policy cannot be read).
extends_documentation_fragment:
  - criu.hosts._attributes
seealso:
  - module: criu.hosts.selinux_module
  - name: setsebool(8)
    description: The command that the module uses.
    link: https://man7.org/linux/man-pages/man8/setsebool.8.html
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Let unconfined processes restore a process with any label, now and after a reboot
  criu.hosts.selinux_boolean:
    name: unconfined_dyntrans_all
    value: true

- name: The same until the next reboot only
  criu.hosts.selinux_boolean:
    name: unconfined_dyntrans_all
    value: true
    persistent: false

- name: Turn it off again
  criu.hosts.selinux_boolean:
    name: unconfined_dyntrans_all
    value: false
"""

RETURN = r"""
changed:
  description: Whether a value was, or would be, set.
  returned: success
  type: bool
  sample: true
boolean:
  description: The boolean as read after the work; in check mode, as it would be.
  returned: success
  type: dict
  contains:
    name:
      description: The name of the boolean.
      type: str
      sample: unconfined_dyntrans_all
    runtime:
      description: The value in the running kernel.
      type: bool
      sample: true
    persistent:
      description:
        - The value that the next boot gives it.
        - None if the policy that the next boot loads has no such boolean.
      type: bool
      sample: true
commands:
  description: The commands that changed, or would change, the host.
  returned: success
  type: list
  elements: list
  sample: [[setsebool, -P, -V, unconfined_dyntrans_all, "on"]]
"""

from typing import NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.boolean import (
    check_boolean_result,
    plan_boolean,
    predict_boolean,
    read_boolean,
    setsebool_error,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.host import check_name, read_host

SPEC = {
    "name": {"type": "str", "required": True},
    "value": {"type": "bool", "required": True},
    "persistent": {"type": "bool", "default": True},
}


def run(ctx: Context) -> Outcome:
    """Read, plan, apply, read again."""
    name = check_name(ctx.params["name"], "boolean")
    value, persistent = ctx.params["value"], ctx.params["persistent"]
    host = read_host(ctx.paths)
    current = read_boolean(host, name)
    wanted = predict_boolean(current, value, persistent=persistent)
    plan = plan_boolean(current, wanted)
    try:
        applied = ctx.apply(plan)
    except CommandError as error:
        raise setsebool_error(error.completed, name) from error
    after = wanted
    if applied is not None:
        after = read_boolean(host, name)
        check_boolean_result(after, wanted)
    return Outcome("boolean", after.view(), plan)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
