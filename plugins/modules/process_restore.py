#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: restore a process from its images."""

from __future__ import annotations

DOCUMENTATION = r"""
module: process_restore
short_description: Restore a process and its descendants from a folder of images
version_added: 0.1.0
description:
  - Lets a process run on from its images, with the ids that it had. One that was restored from them and lives is left
    alone.
  - There are never two copies. If the process that was checkpointed lives, or somebody has one of its ids, the module
    fails before anything is touched.
  - The SELinux label of every thread is compared with the one in the images. If one differs, the processes are ended
    and the images kept, see O(on_label_mismatch).
  - Where SELinux is enforcing, the boolean C(unconfined_dyntrans_all) is on for the seconds of the restore, and off
    again on every path. A label of another SELinux user or role, which a login shell may not take, is restored by
    systemd in a transient service named C(criu-hosts-PID).
author:
  - The criu.hosts authors (!UNKNOWN)
extends_documentation_fragment:
  - criu.hosts._attributes
  - criu.hosts._process
options:
  terminal:
    description:
      - Path of the terminal that a shell job gets, such as V(/dev/pts/3). Nobody else may have it as controlling
        terminal.
      - The restore is then done in a service. Without O(unit) it is named C(criu-hosts-PID). CRIU stays as its main
        process, since the end of the session's leader would hang up the terminal.
    type: path
  on_label_mismatch:
    description:
      - What to do when the label of a thread is not what it was.
      - V(stop) ends the processes, keeps the images, and fails, since they would run in a foreign domain.
      - V(warn) lets them run on, with a warning that has both labels, and RV(label_proof) V(label_changed).
    type: str
    choices: [stop, warn]
    default: stop
seealso:
  - module: criu.hosts.selinux_denial_info
    description: Explains what SELinux refused.
  - module: criu.hosts.process_checkpoint
  - name: criu(8)
    description: What CRIU does.
    link: https://criu.org/CLI
"""

EXAMPLES = r"""
- name: Restore a process with its connections
  criu.hosts.process_restore:
    images_path: /var/lib/checkpoints/worker
    tcp_established: true

- name: Restore a process in a service of its own
  criu.hosts.process_restore:
    images_path: /var/lib/checkpoints/worker
    unit: worker-restored
"""

RETURN = r"""
restore:
  description: The process after the task.
  returned: success
  type: dict
  contains:
    pid:
      description: Id of the process; null in check mode if it has a pid namespace of its own.
      type: int
      sample: 1426
    comm:
      description: Name of the process; null if it is not known in check mode.
      type: str
      sample: python3
    state:
      description: State of the process.
      type: str
      sample: running
    images_path:
      description: Path of the images.
      type: str
      sample: /var/lib/checkpoints/worker
    unit:
      description: The service that it was restored into; null if there is none.
      type: str
      sample: worker.service
    cgroup:
      description: Its cgroup; null in check mode.
      type: str
      sample: /system.slice/worker.service
labels:
  description: The proof, one entry for the threads of a process that share their labels; empty if nothing was compared.
  returned: success
  type: list
  elements: dict
  contains:
    pid:
      description: Process id, inside its pid namespace.
      type: str
      sample: "1426"
    comm:
      description: Name of the process.
      type: str
      sample: python3
    threads:
      description: Number of threads.
      type: int
      sample: 4
    tids:
      description: Thread ids, inside the pid namespace.
      type: list
      elements: str
      sample: ["1426", "1430", "1431", "1432"]
    before:
      description: Label in the images.
      type: str
      sample: system_u:system_r:initrc_t:s0
    after:
      description: Label after the restore.
      type: str
      sample: system_u:system_r:initrc_t:s0
label_proof:
  description:
    - The mode of SELinux in which all labels were equal (V(enforcing) or V(permissive)).
    - V(label_changed) says that one was not, and O(on_label_mismatch=warn).
    - V(selinux_disabled) says that there are no labels, V(not_needed) that nothing was restored, V(label_unknown) that
      the images hold no labels.
  returned: success
  type: str
  sample: enforcing
statistics:
  description: Times and pages of this restore; empty if there was none.
  returned: success
  type: dict
  contains:
    forking_microseconds:
      description: Time to make the processes.
      type: int
      sample: 279
    restore_microseconds:
      description: Time that CRIU took.
      type: int
      sample: 582335
    restored_pages:
      description: Pages of memory that were restored.
      type: int
      sample: 823
commands:
  description: Argument lists of the commands that changed the host, or would in check mode.
  returned: success
  type: list
  elements: list
  sample: [[/usr/sbin/criu, restore, --images-dir, /var/lib/checkpoints/worker]]
log_path:
  description: CRIU's log; empty if there is none.
  returned: failure of CRIU
  type: str
  sample: /var/lib/checkpoints/.worker.criu/restore.log
log_tail:
  description: The last errors of CRIU's log, at most 20.
  returned: failure of CRIU
  type: list
  elements: str
  sample: ["pie: 1169: Error (criu/pie/restorer.c:196): can't write lsm profile -13"]
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
pid:
  description: The process that is in the way.
  returned: failure with reason process_running, pid_in_use or unit_running
  type: int
  sample: 1426
label_before:
  description: The first label that differs, in the images.
  returned: failure with reason label_changed
  type: str
  sample: system_u:system_r:initrc_t:s0
label_after:
  description: The first label that differs, after the restore.
  returned: failure with reason label_changed
  type: str
  sample: unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._process.options import SHARED_SPEC
from ansible_collections.criu.hosts.plugins.module_utils._process.restore import restore

SPEC: dict[str, Any] = {
    **SHARED_SPEC,
    "terminal": {"type": "path"},
    "on_label_mismatch": {"type": "str", "choices": ["stop", "warn"], "default": "stop"},
}


def run(ctx: Context) -> Outcome:
    return restore(ctx, ctx.params)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
