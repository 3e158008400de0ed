#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: checkpoint a container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_checkpoint
short_description: Checkpoint a container, in place or to an archive
version_added: 0.1.0
description:
  - Saves the state of a running container, its memory included, and stops it (unless O(leave_running=true)).
  - When it fails, the container runs on. If podman has stopped it by then, as with a full disk, it is brought back.
  - The label of every thread is recorded, so that M(criu.hosts.container_restore) can prove that none has changed.
author:
  - The criu.hosts authors (!UNKNOWN)
extends_documentation_fragment:
  - criu.hosts._attributes
  - criu.hosts._checkpoint
options:
  state:
    description:
      - V(present) makes a checkpoint of the container as it runs now, unless there is one of this run.
      - V(absent) removes the archive with its record, or the checkpoint in place; never the container.
    type: str
    choices: [present, absent]
    default: present
  leave_running:
    description: Let the container run on after the checkpoint.
    type: bool
    default: false
  compression:
    description: How the archive is compressed.
    type: str
    choices: [none, gzip, zstd]
    default: zstd
notes:
  - C(reason) may also be V(checkpoint_in_use) (the container is stopped in the checkpoint that is to be removed), and
    V(unit_managed) (it belongs to an active systemd unit, which would start it again, see C(unit)).
seealso:
  - module: criu.hosts.selinux_denial_info
    description: Explains what SELinux refused.
  - module: criu.hosts.container_restore
  - name: podman-container-checkpoint(1)
    description: What podman does.
    link: https://docs.podman.io/en/latest/markdown/podman-container-checkpoint.1.html
"""

EXAMPLES = r"""
- name: Checkpoint a container in place
  criu.hosts.container_checkpoint:
    name: web

- name: Checkpoint a container with its connections to an archive
  criu.hosts.container_checkpoint:
    name: redis
    archive_path: /var/lib/checkpoints/redis.tar.zst
    tcp_established: true
  register: checkpointed

- name: Remove the archive
  criu.hosts.container_checkpoint:
    name: redis
    archive_path: /var/lib/checkpoints/redis.tar.zst
    state: absent
"""

RETURN = r"""
checkpoint:
  description: The checkpoint after the task.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the container.
      type: str
      sample: web
    id:
      description: Id of the container; null if neither it nor a record of it is there.
      type: str
      sample: 91f04b5701638eb4362448c14748787880a8911fc8d78418cf9409c87ec9520d
    state:
      description: State of the checkpoint.
      type: str
      sample: present
    container_state:
      description: State of the container.
      type: str
      sample: exited
    archive_path:
      description: Path of the archive; null in place.
      type: str
      sample: /var/lib/checkpoints/web.tar.zst
    record_path:
      description: Path of the record; null in place.
      type: str
      sample: /var/lib/checkpoints/web.tar.zst.json
    size_bytes:
      description: Size of the archive; null in place and in check mode.
      type: int
      sample: 1230488
    sha256:
      description: SHA-256 of the archive; null in place and in check mode.
      type: str
      sample: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
    checkpointed_at:
      description: When it was made, in UTC; null in check mode and if there is no record.
      type: str
      sample: "2026-11-22T23:39:36Z"
    runtime:
      description: OCI runtime of the container.
      type: str
      sample: runc
statistics:
  description: Times and pages of this checkpoint; empty if none was made.
  returned: success
  type: dict
  contains:
    engine_microseconds:
      description: Time that podman took.
      type: int
      sample: 2708076
    runtime_microseconds:
      description: Time that the OCI runtime took.
      type: int
      sample: 1442808
    freezing_microseconds:
      description: Time to freeze the processes.
      type: int
      sample: 116102
    frozen_microseconds:
      description: Time that the processes were frozen.
      type: int
      sample: 815693
    memory_dump_microseconds:
      description: Time to take the memory.
      type: int
      sample: 71209
    memory_write_microseconds:
      description: Time to write the memory.
      type: int
      sample: 39490
    scanned_pages:
      description: Pages of memory that were looked at.
      type: int
      sample: 2148
    written_pages:
      description: Pages of memory that were written.
      type: int
      sample: 2081
commands:
  description: Argument lists of the commands that changed the host, or would in check mode.
  returned: success
  type: list
  elements: list
  sample: [[podman, container, checkpoint, --print-stats, web]]
log_path:
  description: CRIU's log; empty if there is none.
  returned: failure of the engine
  type: str
  sample: /var/lib/containers/storage/overlay-containers/91f0/userdata/dump.log
log_tail:
  description: The last errors of CRIU's log, at most 20.
  returned: failure of the engine
  type: list
  elements: str
  sample: ["Error (criu/tty.c:1996): tty: Found dangling tty"]
denials:
  description:
    - What SELinux refused since the task began and matters; empty if there is nothing, or the log cannot be read.
    - Entries are as in RV(criu.hosts.selinux_denial_info#module:denials).
  returned: failure of the engine
  type: list
  elements: dict
  sample: []
silent_denials:
  description:
    - What CRIU's log tells that SELinux refused, logged or not.
    - Entries are as in RV(criu.hosts.selinux_denial_info#module:silent_denials).
  returned: failure of the engine
  type: list
  elements: dict
  sample: []
container_state:
  description: State of the container after the failure.
  returned: failure of the engine
  type: str
  sample: running
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._container.checkpoint import checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._container.remove import remove
from ansible_collections.criu.hosts.plugins.module_utils._container.request import SHARED_SPEC, desired_of
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for

SPEC: dict[str, Any] = {
    **SHARED_SPEC,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "leave_running": {"type": "bool", "default": False},
    "compression": {"type": "str", "choices": ["none", "gzip", "zstd"], "default": "zstd"},
}


def run(ctx: Context) -> Outcome:
    desired = desired_of(ctx.params)
    act = checkpoint if desired.state == "present" else remove
    return act(ctx, engine_for(ctx.params["engine"]), desired)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
