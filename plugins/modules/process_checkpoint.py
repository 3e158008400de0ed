#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: checkpoint a process."""

from __future__ import annotations

DOCUMENTATION = r"""
module: process_checkpoint
short_description: Checkpoint a process and its descendants to a folder of images
version_added: 0.1.0
description:
  - Saves the state of a running process and its descendants, their memory included, and ends them (unless
    O(leave_running=true) or O(pre_dump=true)).
  - When it fails, the processes run on. If CRIU has ended them by then, as with a full disk, they are brought back.
  - The main process of a systemd service can be checkpointed as well. Systemd does not restart it then.
author:
  - The criu.hosts authors (!UNKNOWN)
extends_documentation_fragment:
  - criu.hosts._attributes
  - criu.hosts._process
options:
  pid:
    description: Id of the process.
    type: int
  pid_file:
    description: A file with the id of the process.
    type: path
  state:
    description:
      - V(present) makes images of the process as it runs now, unless the images are of this very process.
      - V(absent) removes the images with their record and logs, never the process.
    type: str
    choices: [present, absent]
    default: present
  leave_running:
    description: Let the process run on after the checkpoint.
    type: bool
    default: false
  pre_dump:
    description:
      - Save memory only, and let the process run on. A checkpoint with O(parent_path) then saves what has changed
        since, and the process stands still for a shorter time.
    type: bool
    default: false
  parent_path:
    description: Images of a pre-dump of this process. They have to lie in the same folder, and are needed to restore.
    type: path
notes:
  - C(reason) may also be V(process_missing) (it does not run), V(process_refused) (the system's first process, a thread
    of the kernel, or an ancestor of the task), V(images_mismatch) (the images hold another program), V(images_partial)
    (a cut off checkpoint is in the way) or V(unit_has_more) (processes of the service would be lost).
seealso:
  - module: criu.hosts.selinux_denial_info
    description: Explains what SELinux refused.
  - module: criu.hosts.process_restore
  - name: criu(8)
    description: What CRIU does.
    link: https://criu.org/CLI
"""

EXAMPLES = r"""
- name: Checkpoint a process with its connections
  criu.hosts.process_checkpoint:
    pid_file: /run/worker.pid
    images_path: /var/lib/checkpoints/worker
    tcp_established: true

- name: Checkpoint the main process of a service
  criu.hosts.process_checkpoint:
    unit: worker.service
    images_path: /var/lib/checkpoints/worker

- name: Save most of the memory while the process runs
  criu.hosts.process_checkpoint:
    pid: 1426
    images_path: /var/lib/checkpoints/worker.1
    pre_dump: true

- name: Save the rest
  criu.hosts.process_checkpoint:
    pid: 1426
    images_path: /var/lib/checkpoints/worker.2
    parent_path: /var/lib/checkpoints/worker.1
"""

RETURN = r"""
checkpoint:
  description: The checkpoint after the task.
  returned: success
  type: dict
  contains:
    pid:
      description: Id of the process; null if neither it nor a record of it is there.
      type: int
      sample: 1426
    comm:
      description: Name of the process.
      type: str
      sample: python3
    start_ticks:
      description: When it started, in clock ticks since the boot. With the pid it names one process.
      type: int
      sample: 8421
    state:
      description: State of the checkpoint.
      type: str
      sample: present
    process_state:
      description: State of the process, V(running) or V(absent); V(unknown) with O(state=absent).
      type: str
      sample: absent
    images_path:
      description: Path of the images.
      type: str
      sample: /var/lib/checkpoints/worker
    record_path:
      description: Path of the record.
      type: str
      sample: /var/lib/checkpoints/worker/criu-hosts.json
    size_bytes:
      description: Size of the images; null in check mode and if there are none.
      type: int
      sample: 3412040
    pre_dump:
      description: Whether the images hold memory only.
      type: bool
      sample: false
    parent_path:
      description: The images that these were made on; null if they are complete.
      type: str
      sample: /var/lib/checkpoints/worker.1
    unit:
      description: The service; null if there is none.
      type: str
      sample: worker.service
    checkpointed_at:
      description: When it was made, in UTC; null in check mode and if there is no record.
      type: str
      sample: "2026-11-22T23:39:36Z"
statistics:
  description: Times and pages of this checkpoint; empty if none was made.
  returned: success
  type: dict
  contains:
    freezing_microseconds:
      description: Time to freeze the processes.
      type: int
      sample: 29221
    frozen_microseconds:
      description: Time that the processes were frozen.
      type: int
      sample: 807503
    memory_dump_microseconds:
      description: Time to take the memory.
      type: int
      sample: 91364
    memory_write_microseconds:
      description: Time to write the memory.
      type: int
      sample: 56160
    scanned_pages:
      description: Pages of memory that were looked at.
      type: int
      sample: 912
    skipped_pages:
      description: Pages that the parent images have already.
      type: int
      sample: 0
    written_pages:
      description: Pages of memory that were written.
      type: int
      sample: 823
commands:
  description: Argument lists of the commands that changed the host, or would in check mode.
  returned: success
  type: list
  elements: list
  sample: [[/usr/sbin/criu, dump, --tree, "1426"]]
log_path:
  description: CRIU's log; empty if there is none.
  returned: failure of CRIU
  type: str
  sample: /var/lib/checkpoints/.worker.criu/dump.log
log_tail:
  description: The last errors of CRIU's log, at most 20.
  returned: failure of CRIU
  type: list
  elements: str
  sample: ["Error (criu/tty.c:1996): tty: Found dangling tty"]
denials:
  description:
    - What SELinux refused since the task began and matters; empty if there is nothing, or the log cannot be read.
    - Entries are as in RV(criu.hosts.selinux_denial_info#module:denials).
  returned: failure of CRIU
  type: list
  elements: dict
  sample: []
silent_denials:
  description:
    - What CRIU's log tells that SELinux refused, logged or not.
    - Entries are as in RV(criu.hosts.selinux_denial_info#module:silent_denials).
  returned: failure of CRIU
  type: list
  elements: dict
  sample: []
process_state:
  description: State of the process after the failure.
  returned: failure of CRIU
  type: str
  sample: running
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._process.checkpoint import checkpoint, remove
from ansible_collections.criu.hosts.plugins.module_utils._process.options import SHARED_SPEC

SPEC: dict[str, Any] = {
    **SHARED_SPEC,
    "pid": {"type": "int"},
    "pid_file": {"type": "path"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "leave_running": {"type": "bool", "default": False},
    "pre_dump": {"type": "bool", "default": False},
    "parent_path": {"type": "path"},
}


def run(ctx: Context) -> Outcome:
    act = checkpoint if ctx.params["state"] == "present" else remove
    return act(ctx, ctx.params)


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        mutually_exclusive=[("pid", "pid_file", "unit")],
        required_if=[("state", "present", ("pid", "pid_file", "unit"), True)],
    )


if __name__ == "__main__":
    main()
