#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: checkpoint a container at fixed times, on the host alone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_schedule
short_description: Checkpoint a container at fixed times, by a systemd timer
version_added: 0.1.0
description:
  - Installs a systemd timer that checkpoints a running container into a store. The container runs on. The timer works
    without the controller. It runs a program that the module installs, C(/usr/local/libexec/criu-hosts/checkpoint.pyz),
    which needs only Python.
  - Each run makes a checkpoint, reads it again to compare its digests, and then removes those that the rules of
    M(criu.hosts.checkpoint_retention) do not keep. If a step fails, nothing is removed.
  - Each run writes lines to the journal, and metrics in the format of the textfile collector of
    C(prometheus-node-exporter).
author:
  - The criu.hosts authors (!UNKNOWN)
options:
  name:
    description: Name of the container.
    type: str
    required: true
  state:
    description:
      - V(present) installs the schedule and starts its timer.
      - V(absent) removes it, with its metrics; after the last schedule also the program and its service. Checkpoints
        stay.
    type: str
    choices: [present, absent]
    default: present
  store:
    description: The folder of the store. Needed with O(state=present).
    type: path
  calendar:
    description: When it runs, as C(OnCalendar) of systemd.time(7). A run that was missed while the host was off is made
      up for after the boot.
    type: str
    default: daily
  random_delay:
    description: A run starts later by a random time up to this, so that not all containers and hosts do at once.
    type: str
    default: 15m
  engine:
    description: The container engine.
    type: str
    choices: [podman]
    default: podman
  tcp_established:
    description: Include established TCP connections.
    type: bool
    default: false
  file_locks:
    description: Include file locks.
    type: bool
    default: false
  ignore_rootfs:
    description: Leave out changes of the container's root file system.
    type: bool
    default: false
  ignore_volumes:
    description: Leave out the content of named volumes.
    type: bool
    default: false
  compression:
    description: How the archive is compressed.
    type: str
    choices: [none, gzip, zstd]
    default: zstd
  keep_last:
    description: See O(criu.hosts.checkpoint_retention#module:keep_last). Without any rule all checkpoints stay.
    type: int
  keep_hourly:
    description: See O(criu.hosts.checkpoint_retention#module:keep_hourly).
    type: int
  keep_daily:
    description: See O(criu.hosts.checkpoint_retention#module:keep_daily).
    type: int
  keep_weekly:
    description: See O(criu.hosts.checkpoint_retention#module:keep_weekly).
    type: int
  keep_monthly:
    description: See O(criu.hosts.checkpoint_retention#module:keep_monthly).
    type: int
  max_age:
    description: See O(criu.hosts.checkpoint_retention#module:max_age).
    type: str
  max_bytes:
    description: See O(criu.hosts.checkpoint_retention#module:max_bytes).
    type: bytes
  max_total_bytes:
    description: See O(criu.hosts.checkpoint_retention#module:max_total_bytes). It counts all containers in the store.
    type: bytes
  max_load:
    description: Skips a run while the load average of the last minute, divided by the number of processors, is higher.
    type: float
  min_free_bytes:
    description:
      - Skips a run if less than this and the memory of the container is free on the file system of the store, for
        example V(1G). V(0) checks nothing.
    type: bytes
    default: "0"
  metrics_dir:
    description:
      - The folder of the textfile collector of C(prometheus-node-exporter). With Debian's package it is
        C(/var/lib/prometheus/node-exporter). Without it there are no metrics.
      - The file is C(criu_hosts_checkpoint_NAME.prom). C(docs/schedule.md) explains the metrics, and has alerts.
    type: path
extends_documentation_fragment:
  - criu.hosts._attributes
notes:
  - Needs root.
  - The exit status of a run is 0 if it is done, 75 if O(max_load) or O(min_free_bytes) has skipped it, which is a
    success for systemd, and 1 if it has failed.
  - C(systemctl start criu-hosts-checkpoint@NAME) makes a run at once, C(journalctl -u criu-hosts-checkpoint@NAME) shows
    its lines.
seealso:
  - module: criu.hosts.checkpoint_retention
  - module: criu.hosts.container_checkpoint
  - ref: ansible_collections.criu.hosts.checkpoint_schedule_role
    description: The role, which installs several schedules.
"""

EXAMPLES = r"""
- name: Checkpoint a container each night
  criu.hosts.checkpoint_schedule:
    name: web
    store: /var/lib/checkpoints
    calendar: "*-*-* 03:00"
    random_delay: 30m
    keep_daily: 7
    keep_weekly: 4
    max_load: 2
    min_free_bytes: 2G
    metrics_dir: /var/lib/prometheus/node-exporter

- name: Remove the schedule
  criu.hosts.checkpoint_schedule:
    name: web
    state: absent
"""

RETURN = r"""
schedule:
  description: The schedule after the task.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the container.
      type: str
      sample: web
    state:
      description: V(present) or V(absent).
      type: str
      sample: present
    enabled:
      description: Whether the timer runs, and will after a boot.
      type: bool
      sample: true
    timer:
      description: Name of the timer.
      type: str
      sample: criu-hosts-checkpoint@web.timer
commands:
  description: Argument lists of the commands that change the host. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[systemctl, daemon-reload]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(name_invalid) if O(name) cannot be the name of a container.
    - V(option_invalid) if an option has a value that it cannot have; see RV(option).
    - V(unit_foreign) if the module did not make the timer or the service; see RV(path).
    - V(unit_text_invalid) if O(calendar) has a control character.
    - V(systemd_missing) if systemd does not run on the host.
    - V(busy) if another task works on a schedule for a minute.
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be read or written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: option_invalid
option:
  description: The option that cannot be used.
  returned: failure with reason option_invalid
  type: str
  sample: calendar
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /etc/systemd/system/criu-hosts-checkpoint@.service
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [systemctl, start, criu-hosts-checkpoint@web.timer]
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
  sample: "Failed to start criu-hosts-checkpoint@web.timer: Unit criu-hosts-checkpoint@web.timer is masked."
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._schedule import install

SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "store": {"type": "path"},
    "calendar": {"type": "str", "default": "daily"},
    "random_delay": {"type": "str", "default": "15m"},
    "engine": {"type": "str", "choices": ["podman"], "default": "podman"},
    "tcp_established": {"type": "bool", "default": False},
    "file_locks": {"type": "bool", "default": False},
    "ignore_rootfs": {"type": "bool", "default": False},
    "ignore_volumes": {"type": "bool", "default": False},
    "compression": {"type": "str", "choices": ["none", "gzip", "zstd"], "default": "zstd"},
    "keep_last": {"type": "int"},
    "keep_hourly": {"type": "int"},
    "keep_daily": {"type": "int"},
    "keep_weekly": {"type": "int"},
    "keep_monthly": {"type": "int"},
    "max_age": {"type": "str"},
    "max_bytes": {"type": "bytes"},
    "max_total_bytes": {"type": "bytes"},
    "max_load": {"type": "float"},
    "min_free_bytes": {"type": "bytes", "default": "0"},
    "metrics_dir": {"type": "path"},
}


def run(ctx: Context) -> Outcome:
    return install.run(ctx)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True, required_if=[("state", "present", ("store",))])


if __name__ == "__main__":
    main()
