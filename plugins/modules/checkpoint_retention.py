#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: pin and prune the checkpoints in a store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_retention
short_description: Manage which checkpoints of a store stay
version_added: 0.1.0
description:
  - Removes checkpoints that no rule keeps, and pins those that have to stay. In check mode RV(checkpoints) is the plan,
    with the rules that keep each checkpoint, in words.
  - The rules O(keep_last), O(keep_hourly), O(keep_daily), O(keep_weekly) and O(keep_monthly) count for each container
    or process alone. A checkpoint stays if one of them selects it. Without any of them, all are selected.
  - Then the limits O(max_age), O(max_bytes) and O(max_total_bytes) remove the oldest of those that are selected.
  - No rule and no limit removes the newest whole checkpoint of a container or process, one that is pinned, one in which
    a container is stopped, one that a task which has begun or was killed needs, one on which a kept checkpoint is built
    (C(parent) in its manifest), or one whose time is in the future.
  - A pre-dump of a process, or a pre-checkpoint of a container
    (O(criu.hosts.container_checkpoint#module:pre_checkpoint)), counts for no rule, since it cannot be restored alone.
    It stays with what is built on it, and as the newest one, unless a limit removes it.
  - Of what killed tasks have left of a process, or of a container that is gone, a whole checkpoint is put in place, and
    the rest is removed. A warning names it, and also what stays for a person.
  - A checkpoint that cannot be restored, since it or its parent is damaged, counts for no rule. Only O(max_age) removes
    it. As long as a container or process has no whole checkpoint, nothing of it is removed.
author:
  - The criu.hosts authors (!UNKNOWN)
options:
  store:
    description: The folder of the store.
    type: path
    required: true
  kind:
    description: Looks only at the checkpoints of containers, or only at those of processes.
    type: str
    choices: [container, process]
  name:
    description: Looks only at the checkpoints of the container or process with this name.
    type: str
  engine:
    description: The container engine, which knows whether a container is stopped in a checkpoint.
    type: str
    choices: [podman]
    default: podman
  keep_last:
    description: Keeps so many of the newest checkpoints.
    type: int
  keep_hourly:
    description:
      - Keeps the newest checkpoint of each of the last so many hours that have one, in UTC. An hour without a
        checkpoint does not count.
    type: int
  keep_daily:
    description: Like O(keep_hourly), for days.
    type: int
  keep_weekly:
    description: Like O(keep_hourly), for weeks, which begin on Monday (ISO 8601).
    type: int
  keep_monthly:
    description: Like O(keep_hourly), for months.
    type: int
  max_age:
    description:
      - Removes checkpoints that are older, for example V(12h), V(30d) or a number of seconds, also if a rule selects
        them.
    type: str
  max_bytes:
    description:
      - Removes the oldest checkpoints of each container or process until the rest has at most so many bytes, for
        example V(20G).
    type: bytes
  max_total_bytes:
    description: Removes the oldest of all checkpoints that the task looks at until the rest has at most so many bytes.
    type: bytes
  pin:
    description:
      - Ids of checkpoints to pin. They stay until they are unpinned. The pin is the file C(pinned) in the folder of the
        checkpoint.
    type: list
    elements: str
    default: []
  unpin:
    description: Ids of checkpoints to unpin. One that is missing is none that is pinned.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - criu.hosts._attributes
notes:
  - Needs root for checkpoints of containers.
  - Only one task at a time prunes a store. It waits for tasks on the containers that it looks at, and they wait for it.
  - The age of a checkpoint is the time in its manifest. Digests are not computed.
  - C(docs/retention.md) compares the rules with those of restic and borg.
seealso:
  - module: criu.hosts.container_checkpoint
  - module: criu.hosts.checkpoint_info
  - ref: ansible_collections.criu.hosts.checkpoint_schedule_role
    description: The role, which installs several schedules.
"""

EXAMPLES = r"""
- name: Keep a week of nightly checkpoints and a few older ones
  criu.hosts.checkpoint_retention:
    store: /var/lib/checkpoints
    keep_last: 3
    keep_daily: 7
    keep_weekly: 4
    max_total_bytes: 50G
  register: pruned

- name: Show why each one stayed
  ansible.builtin.debug:
    msg: "{{ item.name }} {{ item.id }}: {{ item.why | join(', ') }}"
  loop: "{{ pruned.checkpoints | selectattr('keep') }}"
  loop_control:
    label: "{{ item.id }}"

- name: Pin the checkpoint from before an upgrade
  criu.hosts.checkpoint_retention:
    store: /var/lib/checkpoints
    name: web
    pin: ["20261130T164500Z-1a2b3c4d"]
"""

RETURN = r"""
checkpoints:
  description: All checkpoints that the task has looked at, by kind and name, newest first, with what happens to each.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(container) or V(process).
      type: str
      sample: container
    name:
      description: Name of the container or process.
      type: str
      sample: web
    id:
      description: Id of the checkpoint.
      type: str
      sample: 20261130T164500Z-1a2b3c4d
    made_at:
      description: When it was made, in UTC, as the host knew the time then.
      type: str
      sample: "2026-11-30T16:45:00Z"
    size_bytes:
      description: Size of its files.
      type: int
      sample: 4128768
    pinned:
      description: Whether it is pinned after the task.
      type: bool
      sample: false
    fault:
      description: Why it cannot be used; V(null) if nothing is known.
      type: str
      sample: null
    keep:
      description: Whether it stays. One that does not stay was removed by the task, or would be in check mode.
      type: bool
      sample: true
    why:
      description: Each reason for which it stays, or the one for which it does not.
      type: list
      elements: str
      sample: ["it is the newest whole one of 'web'", "keep_daily: newest of 2026-11-30"]
removed_bytes:
  description: Size of the checkpoints that do not stay.
  returned: success
  type: int
  sample: 0
commands:
  description:
    - Argument lists of the commands that change the host. Systemd is reloaded if a killed task has left a drop-in of a
      service; there is no other.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(checkpoint_missing) if there is no checkpoint with an id of O(pin).
    - V(option_invalid) if an option has a value that it cannot have; see RV(option).
    - V(busy) if another task prunes the store, or works on the container or process of O(name), or on one with a
      checkpoint of O(pin) or O(unpin), for a minute.
    - V(store_unsafe) if others can change O(store), or which folder it names.
    - V(store_unreadable) if a folder of the store cannot be read.
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be written or removed.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command may not be run.
    - V(tool_failed) if the engine does not say whether a container is stopped in a checkpoint.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: option_invalid
option:
  description: The option that cannot be used.
  returned: failure with reason option_invalid
  type: str
  sample: max_age
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /var/lib/checkpoints
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [podman, container, inspect, web]
rc:
  description: Exit status of that command.
  returned: failure of a command
  type: int
  sample: 125
stdout:
  description: Standard output of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: ""
stderr:
  description: Standard error of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: "Error: open /run/libpod/alive.lck: permission denied"
"""

import os
from contextlib import ExitStack
from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._container.prune import prune, request_of
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for
from ansible_collections.criu.hosts.plugins.module_utils._store.sweep import Ended
from ansible_collections.criu.hosts.plugins.module_utils._store.working import working_folder

SPEC: dict[str, Any] = {
    "store": {"type": "path", "required": True},
    "kind": {"type": "str", "choices": ["container", "process"]},
    "name": {"type": "str"},
    "engine": {"type": "str", "choices": ["podman"], "default": "podman"},
    "keep_last": {"type": "int"},
    "keep_hourly": {"type": "int"},
    "keep_daily": {"type": "int"},
    "keep_weekly": {"type": "int"},
    "keep_monthly": {"type": "int"},
    "max_age": {"type": "str"},
    "max_bytes": {"type": "bytes"},
    "max_total_bytes": {"type": "bytes"},
    "pin": {"type": "list", "elements": "str", "default": []},
    "unpin": {"type": "list", "elements": "str", "default": []},
}


def end_processes(ctx: Context, held: ExitStack, store: str, names: list[str]) -> Ended:
    if not any(os.path.lexists(working_folder(store, "process", name)) for name in names):
        return Ended()
    # Few tasks find that one has died: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._process.unfinished import end_unfinished

    return end_unfinished(ctx, held, store, names)


def run(ctx: Context) -> Outcome:
    return prune(ctx, engine_for(ctx.params["engine"], ctx), request_of(ctx.params), end_processes)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
