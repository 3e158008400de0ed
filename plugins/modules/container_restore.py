#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: restore a container from a checkpoint."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_restore
short_description: Restore a container from its checkpoint, in place or from an archive
version_added: 0.1.0
description:
  - Lets a container run on from its checkpoint. A container that runs already is left alone.
  - The SELinux label of every thread is compared with the one before. If one differs, the container is stopped and its
    checkpoint or archive kept.
  - Where SELinux is enforcing and the policy of the role P(criu.hosts.criu_selinux#role) is loaded, the boolean
    C(criu_container_restore) is on for the seconds of the restore, and off again on every path.
author:
  - The criu.hosts authors (!UNKNOWN)
extends_documentation_fragment:
  - criu.hosts._attributes
  - criu.hosts._checkpoint
options:
  new_name:
    description:
      - Restore the archive as a container of this name, with an id of its own. It keeps the SELinux label of the
        archive, see O(shared_categories).
      - Under runc a clone lives in the original's cgroup; the original cannot be restored before the clone has ended.
    type: str
  on_label_mismatch:
    description:
      - What to do when a label of a thread, the label that it makes sockets with, or the label of a mount is not what
        it was.
      - V(stop) stops the container (one from an archive is removed again), keeps the checkpoint or archive, and fails,
        since the container would run in a foreign domain.
      - V(warn) lets it run on, with a warning that has both labels, and RV(label_proof) V(label_changed).
      - Sockets with other labels never stop a container, see RV(label_differences).
    type: str
    choices: [stop, warn]
    default: stop
  shared_categories:
    description:
      - What to do when another container of this host, running or not, has the label of the archive. SELinux keeps
        containers apart by the categories in it, so each of the two could reach the other's files and processes.
      - Fresh categories cannot be given. CRIU and the OCI runtimes could restore with another label, but Podman asks
        them for it only when it restores a container of a pod into another pod.
      - V(refuse) fails before anything changes; V(accept) is for clones that may reach each other.
    type: str
    choices: [refuse, accept]
    default: refuse
seealso:
  - module: criu.hosts.selinux_denial_info
    description: Explains what SELinux refused.
  - module: criu.hosts.container_checkpoint
  - name: podman-container-restore(1)
    description: What podman does.
    link: https://docs.podman.io/en/latest/markdown/podman-container-restore.1.html
"""

EXAMPLES = r"""
- name: Restore a container in place
  criu.hosts.container_restore:
    name: web

- name: Restore a container from an archive
  criu.hosts.container_restore:
    name: redis
    archive_path: /var/lib/checkpoints/redis.tar.zst
    tcp_established: true

- name: Make a checkpoint, and a clone from it
  block:
    - name: Checkpoint the container and let it run on
      criu.hosts.container_checkpoint:
        name: web
        archive_path: /var/lib/checkpoints/web.tar.zst
        leave_running: true

    - name: Restore the clone
      criu.hosts.container_restore:
        name: web
        new_name: web-clone
        shared_categories: accept # the original runs on and has the same categories
        archive_path: /var/lib/checkpoints/web.tar.zst
"""

RETURN = r"""
restore:
  description: The container after the task.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the container.
      type: str
      sample: web
    id:
      description: Id of the container; null if it is not known in check mode.
      type: str
      sample: 91f04b5701638eb4362448c14748787880a8911fc8d78418cf9409c87ec9520d
    state:
      description: State of the container.
      type: str
      sample: running
    source:
      description: Where it was restored from, V(container) (in place) or V(archive); null if it ran already.
      type: str
      sample: container
    archive_path:
      description: The archive of the task; null in place.
      type: str
      sample: /var/lib/checkpoints/web.tar.zst
    runtime:
      description: OCI runtime of the container.
      type: str
      sample: runc
    pid:
      description: Process id of its first process on the host; null in check mode.
      type: int
      sample: 1426
labels:
  description: The proof, one entry for the threads of a process that share their labels; empty if nothing was compared.
  returned: success
  type: list
  elements: dict
  contains:
    pid:
      description: Process id in the container.
      type: str
      sample: "1"
    comm:
      description: Name of the process.
      type: str
      sample: python3
    threads:
      description: Number of threads.
      type: int
      sample: 4
    tids:
      description: Thread ids in the container.
      type: list
      elements: str
      sample: ["1", "7", "8", "9"]
    before:
      description: Label before the restore.
      type: str
      sample: system_u:system_r:container_t:s0:c441,c720
    after:
      description: Label after the restore.
      type: str
      sample: system_u:system_r:container_t:s0:c441,c720
label_differences:
  description:
    - What else has another label than before, of what was recorded with the checkpoint and is there now.
    - CRIU up to 4.2.1 gives a restored Unix socket its own label instead of the container's. The container may go on
      using it, and a descriptor may have become another socket, so a socket never makes the restore a failure.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(sockcreate) (label for new sockets of a thread), V(mount) (context of a mount) or V(socket).
      type: str
      sample: socket
    where:
      description: The thread, mount point or descriptor, as the container sees it.
      type: str
      sample: process 1 descriptor 5 (UNIX-STREAM)
    before:
      description: Label before the restore.
      type: str
      sample: system_u:system_r:container_t:s0:c441,c720
    after:
      description: Label after the restore.
      type: str
      sample: unconfined_u:unconfined_r:unconfined_t:s0
    grave:
      description: Whether O(on_label_mismatch) applies to it.
      type: bool
      sample: false
label_proof:
  description:
    - The mode of SELinux in which all labels were equal (V(enforcing) or V(permissive)).
    - V(label_changed) says that one was not, and O(on_label_mismatch=warn).
    - V(selinux_disabled) says that there are no labels, V(not_needed) that nothing was restored, V(label_unknown) that
      neither a record nor the container told a label to compare with.
  returned: success
  type: str
  sample: enforcing
statistics:
  description: Times and pages of this restore; empty if there was none.
  returned: success
  type: dict
  contains:
    engine_microseconds:
      description: Time that podman took.
      type: int
      sample: 2233905
    runtime_microseconds:
      description: Time that the OCI runtime took.
      type: int
      sample: 1761639
    forking_microseconds:
      description: Time to make the processes.
      type: int
      sample: 64
    restore_microseconds:
      description: Time that CRIU took.
      type: int
      sample: 743830
    restored_pages:
      description: Pages of memory that were restored.
      type: int
      sample: 1405
commands:
  description: Argument lists of the commands that changed the host, or would in check mode.
  returned: success
  type: list
  elements: list
  sample: [[setsebool, criu_container_restore, "on"], [podman, container, restore, --print-stats, --keep, web]]
log_path:
  description: CRIU's log; empty if there is none.
  returned: failure of the engine
  type: str
  sample: /var/lib/containers/storage/overlay-containers/91f0/userdata/restore.log
log_tail:
  description: The last errors of CRIU's log, at most 20.
  returned: failure of the engine
  type: list
  elements: str
  sample: ["pie: 1: Error (criu/pie/restorer.c:546): seccomp: SECCOMP_SET_MODE_FILTER returned -13 on tid 1"]
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
label_before:
  description: The first label that differs, before the restore.
  returned: failure with reason label_changed
  type: str
  sample: system_u:system_r:container_t:s0:c441,c720
label_after:
  description: The first label that differs, after the restore.
  returned: failure with reason label_changed
  type: str
  sample: unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._container.request import SHARED_SPEC, desired_of
from ansible_collections.criu.hosts.plugins.module_utils._container.restore import restore
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for

SPEC: dict[str, Any] = {
    **SHARED_SPEC,
    "new_name": {"type": "str"},
    "on_label_mismatch": {"type": "str", "choices": ["stop", "warn"], "default": "stop"},
    "shared_categories": {"type": "str", "choices": ["refuse", "accept"], "default": "refuse"},
}


def run(ctx: Context) -> Outcome:
    desired = desired_of(ctx.params)
    return restore(ctx, engine_for(ctx.params["engine"]), desired)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True, required_by={"new_name": ["archive_path"]})


if __name__ == "__main__":
    main()
