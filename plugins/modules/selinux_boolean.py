#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: set the runtime and the persistent value of an SELinux boolean."""

from __future__ import annotations

DOCUMENTATION = r"""
module: selinux_boolean
short_description: Set the runtime and the persistent value of an SELinux boolean
version_added: 0.1.0
description:
  - Compares the current value of a boolean and its value at the next boot separately, and sets the one that differs.
  - Only a change of the persistent value rewrites the policy, which takes seconds (C(setsebool -P)). If only the
    runtime value differs, the policy is not rewritten.
  - The persistent value is read from the compiled policy that the next boot loads, not from a list of local changes, so
    it is correct even if a different tool has set it.
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
      - Whether to keep the value after the next boot.
      - With V(false), only the runtime value is compared and set.
    type: bool
    default: true
requirements:
  - setsebool (Debian and Red Hat family, package policycoreutils)
notes:
  - Needs root.
extends_documentation_fragment:
  - criu.hosts._attributes
seealso:
  - module: criu.hosts.selinux_module
  - name: setsebool(8)
    description: The command that the module runs.
    link: https://man7.org/linux/man-pages/man8/setsebool.8.html
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Allow unconfined processes to restore a process with any label, now and after a reboot
  criu.hosts.selinux_boolean:
    name: unconfined_dyntrans_all
    value: true

- name: The same, but only until the next reboot
  criu.hosts.selinux_boolean:
    name: unconfined_dyntrans_all
    value: true
    persistent: false

- name: Switch it off again
  criu.hosts.selinux_boolean:
    name: unconfined_dyntrans_all
    value: false
"""

RETURN = r"""
changed:
  description: Whether a value was set, or would be set by a real run.
  returned: success
  type: bool
  sample: true
boolean:
  description: The boolean after the task. Check mode predicts it.
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
        - The value at the next boot.
        - V(null) if the policy that the next boot loads has no such boolean.
      type: bool
      sample: true
commands:
  description: Argument lists of the commands that change the host. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[setsebool, -P, -V, unconfined_dyntrans_all, "on"]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(boolean_missing) if the loaded policy has no such boolean.
    - V(selinux_disabled) if SELinux is disabled, so that no policy is loaded.
    - V(name_invalid) if O(name) cannot be the name of a boolean.
    - V(not_root) if the policy cannot be read, as the task does not run as root.
    - V(store_locked) if a different process is changing the policy.
    - V(change_lost) if setsebool succeeded and the value has not changed.
    - V(busy) if a different task has changed the same boolean for a minute.
    - V(file_failed) if a file or folder could not be written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: boolean_missing
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
  sample: [setsebool, -P, -V, unconfined_dyntrans_all, "on"]
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

from typing import NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
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
    """Reads the boolean, plans and applies the change, and reads it again."""
    name = check_name(ctx.params["name"], "boolean")
    with ctx.hold("selinux", f"boolean {name}"):
        return ensure(ctx, name)


def ensure(ctx: Context, name: str) -> Outcome:
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
