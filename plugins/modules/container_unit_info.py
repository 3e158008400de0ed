#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists the containers that run as systemd services."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_unit_info
short_description: List container units and what their last stop or start did
version_added: 0.1.0
description:
  - Reads the units that M(criu.hosts.container_unit) has made, and their state in systemd.
  - For a stateful unit, it also returns the options of its checkpoint and the record of its last stop or start.
options:
  name:
    description: Name of one container. Without it, the module lists all units of M(criu.hosts.container_unit).
    type: str
requirements:
  - systemd 245 or newer
notes:
  - Needs root.
extends_documentation_fragment:
  - criu.hosts._attributes.info
seealso:
  - module: criu.hosts.container_unit
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: List all units
  criu.hosts.container_unit_info:
  register: units

- name: Check that the last start of Redis restored it
  ansible.builtin.assert:
    that: item.last.action == 'restored'
  loop: "{{ units.container_units | selectattr('name', 'eq', 'redis') }}"
"""

RETURN = r"""
container_units:
  description: The units, sorted by name; empty if there are none.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the container. The name of the unit is this name with C(.service).
      type: str
      sample: redis
    path:
      description: The file of the unit.
      type: str
      sample: /etc/systemd/system/redis.service
    kind:
      description: V(quadlet) or V(plain).
      type: str
      sample: plain
    state:
      description: State of the unit in systemd, such as V(active), V(inactive) or V(failed).
      type: str
      sample: active
    enabled:
      description: Whether the unit is started at boot.
      type: bool
      sample: true
    main_pid:
      description: Process id of its main process; null if there is none.
      type: int
      sample: 1207
    stateful:
      description: Whether the unit keeps the state of the container.
      type: bool
      sample: true
    container:
      description: Name of the container.
      type: str
      sample: redis
    tcp_established:
      description: Whether a checkpoint includes established TCP connections; null if the unit is not stateful.
      type: bool
      sample: true
    file_locks:
      description: Whether a checkpoint includes file locks; null if the unit is not stateful.
      type: bool
      sample: false
    on_restore_failure:
      description: V(fresh) or V(refuse); null if the unit is not stateful.
      type: str
      sample: fresh
    memory_bytes:
      description: Memory of the container; null if the container is not running.
      type: int
      sample: 12582912
    restart_due:
      description: Whether the unit was changed and its container was not recreated yet.
      type: bool
      sample: false
    last:
      description:
        - The record of the last stop or start; null if the unit is not stateful or has not run yet.
        - C(action) is V(dumped), V(restored), V(fresh), V(refused) or V(clean_stop).
      type: dict
      sample:
        action: restored
        began: 1795419576.2
        seconds: 1.4
        why: null
commands:
  description: Always empty, because the module only reads.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(name_invalid) if O(name) cannot be the name of a container.
    - V(unit_foreign) if the unit with this name was not made by M(criu.hosts.container_unit); see RV(path).
    - V(rootless_unsupported) if the task does not run as root.
    - V(file_failed) if a file of the unit could not be read; see RV(path).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(systemd_missing) if systemd does not run on the host.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: unit_foreign
path:
  description: The file that was not made by the module, or that could not be read.
  returned: failure with reason unit_foreign or file_failed
  type: str
  sample: /usr/lib/systemd/system/ssh.service
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [systemctl, show, web.service]
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

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.rootless import require_root
from ansible_collections.criu.hosts.plugins.module_utils._unit.info import list_units
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import check_name

SPEC = {"name": {"type": "str"}}


def run(ctx: Context) -> Outcome:
    """Lists the units."""
    name = ctx.params["name"]
    if name is not None:
        check_name(name)
    require_root("read the units of containers", ctx.paths, ctx.uid)
    return Outcome("container_units", list_units(ctx, name))


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
