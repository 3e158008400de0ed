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
  - Restores a container from its checkpoint. A container that runs already is left alone.
  - Compares the SELinux label or AppArmor profile of every thread with that before the checkpoint. If one differs, the
    module stops the container and keeps its checkpoint or archive.
  - Where SELinux is enforcing and the policy of the role P(criu.hosts.criu_selinux#role) is loaded, the module switches
    the boolean C(criu_container_restore) on for the restore, and off again even if the restore fails.
  - Podman makes no health checks after a restore. If the container has one, the module lets podman make them again;
    where that fails, a warning says why.
  - Only one task at a time works on a container or archive. If a task was killed, the next one completes or undoes what
    it had begun, compares the labels if that was left out, and says so in a warning.
author:
  - The criu.hosts authors (!UNKNOWN)
extends_documentation_fragment:
  - criu.hosts._attributes
  - criu.hosts._checkpoint
options:
  new_name:
    description:
      - Restore the archive as a container with this name and a new id. The container keeps the SELinux label in the
        archive, see O(shared_categories).
      - Under runc, such a clone runs in the cgroup of the original, which cannot be restored until the clone has ended.
    type: str
  on_label_mismatch:
    description:
      - How to react if the label of a thread, the label for its new sockets, or the label of a mount has changed.
      - V(stop) stops the container, or removes it if it comes from an archive, keeps the checkpoint or archive, and
        fails, since the container would run in a wrong domain.
      - V(warn) leaves it running. A warning shows both labels, and RV(label_proof) is V(label_changed).
      - A socket with a changed label never stops a container, see RV(label_differences).
    type: str
    choices: [stop, warn]
    default: stop
  shared_categories:
    description:
      - How to react if a container of this host, running or not, already has the label in the archive. SELinux keeps
        containers apart by the categories in the label, so these two could reach each other's files and processes.
      - New categories cannot be assigned. CRIU and the OCI runtimes could restore with a different label, but Podman
        requests this only if it restores a container of a pod into a different pod.
      - V(refuse) fails before anything changes. V(accept) is for clones that may reach each other.
    type: str
    choices: [refuse, accept]
    default: refuse
seealso:
  - module: criu.hosts.denial_info
    description: Explains denials by SELinux and AppArmor.
  - module: criu.hosts.container_checkpoint
  - name: podman-container-restore(1)
    description: The command that the module runs.
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
        leave_running: true # only for a container that writes to no files: they are copied while it runs on

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
      description: Id of the container; null in check mode if it is unknown.
      type: str
      sample: 91f04b5701638eb4362448c14748787880a8911fc8d78418cf9409c87ec9520d
    state:
      description: State of the container.
      type: str
      sample: running
    source:
      description: V(container) for a checkpoint in place, or V(archive); null if the container ran already.
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
  description:
    - The proof, with one entry for all threads of a process that share their labels. Empty if nothing was compared.
  returned: success, or failure with reason label_changed
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
      description: Label before the restore; under AppArmor the profile with its mode.
      type: str
      sample: system_u:system_r:container_t:s0:c441,c720
    after:
      description: Label after the restore; under AppArmor the profile with its mode.
      type: str
      sample: system_u:system_r:container_t:s0:c441,c720
label_differences:
  description:
    - Other labels that differ from those recorded with the checkpoint.
    - CRIU up to 4.2.1 gives a restored Unix socket CRIU's own label instead of the container's. The container can still
      use it, and a descriptor may refer to a different socket by now, so a socket never makes the restore a failure.
  returned: success, or failure with reason label_changed
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
    - V(enforcing) or V(permissive), the mode of SELinux, if all labels are the same as before.
    - V(apparmor) if the host has AppArmor, and each thread is in the same profile as before, in the same mode.
    - V(label_changed) if one differs and O(on_label_mismatch=warn).
    - V(selinux_disabled) if the host has neither SELinux nor AppArmor, V(not_needed) if nothing was restored, now or by
      a task that died before it compared the labels, and V(label_unknown) if neither a record nor the container has a
      label to compare with.
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
      description: Time to create the processes.
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
  description: Argument lists of the commands that change the host. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[setsebool, criu_container_restore, "on"], [podman, container, restore, --print-stats, --keep, web]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(container_missing) if there is no such container and no O(archive_path).
    - V(not_checkpointed) if the container has no checkpoint in place.
    - V(container_paused) if the container is paused, with or without a checkpoint.
    - V(container_ending) if the container is being stopped or removed at this moment, or its stop was cut off.
    - V(container_ended) if the container ended right after the restore.
    - V(container_exists) if a stopped container has the name, or a container with a different name has the id.
    - V(name_in_use) if a container that is not stopped and does not come from this archive has the name.
    - V(new_name_with_tcp) if O(new_name) and O(tcp_established) are both set, as a clone cannot take connections.
    - V(categories_shared) if a container has the label in the archive; see RV(label) and RV(containers).
    - V(categories_unknown) if the list of the host's containers cannot be read; see RV(label).
    - V(dependency_restarted) if the container uses namespaces of a different one, which has not run on since.
    - V(has_dependencies) if the container of an archive without a record uses namespaces of a different one.
    - V(in_pod) if the container of an archive without a record was in a pod.
    - V(cgroup_in_use) if processes, for example those of a clone, still run in the cgroup of the container.
    - V(apparmor_profile_missing) if an AppArmor profile of the container is not loaded and is not one that the engine
      makes itself, or the engine could not load it; see RV(profile).
    - V(apparmor_parser_missing) if C(apparmor_parser), by which the engine loads its profile, is not installed.
    - V(restore_leftovers) if the state that an earlier failed restore has left in the OCI runtime or in systemd is in
      the way; the next task removes it.
    - V(image_missing) if the image of the container is not on this host.
    - V(mount_source_missing) if a file or folder of the host that the container has mounted is missing; see RV(path).
    - V(host_mounts_at_risk) if a file system is mounted below a folder of the host that the container has mounted, and
      runc would unmount it from the host; see RV(path). Nothing was done.
    - V(mount_source_link) if the source of a mount is a symbolic link, which CRIU 3.17 and newer cannot mount; the
      option C(mntns-compat-mode) (M(criu.hosts.criu_config)) helps.
    - V(mount_replaced) if a file or folder that the container had mounted was replaced before the checkpoint, so it
      cannot be restored.
    - V(volume_exists) if a volume in the archive exists on this host already.
    - V(archive_missing) if there is no such archive.
    - V(archive_invalid) if the archive is truncated, damaged or not a checkpoint, if its record cannot be used, or if
      its OCI runtime is a program that the engine does not know.
    - V(record_invalid) if the record of a checkpoint in place cannot be used.
    - V(archive_unreadable) if the archive has no record and the host lacks libzstd, with which it is compressed.
    - V(archive_mismatch) if the archive holds a different container.
    - V(archive_path_unsafe) if others can change the file, or which file the path names.
    - V(archive_runtime_missing) if the OCI runtime that made the archive is not installed.
    - V(external_socket) if the container is connected to a Unix socket of the host or of a different container.
    - V(mount_unsupported) if CRIU cannot save, or restore, one of its mounts.
    - V(capabilities_missing) if CRIU may not restore the capabilities that the container had.
    - V(files_changed) if a file that the container uses has changed, or is gone, since the checkpoint.
    - V(limits_unreadable) if root lacks C(CAP_SYS_RESOURCE) on this host.
    - V(mapping_refused) if the kernel does not allow one of its memory mappings.
    - V(pid_in_use) if a different process has one of its ids, which happens without a pid namespace of its own.
    - V(port_in_use) if a published port is taken.
    - V(address_in_use) if a different container has its IP address.
    - V(tcp_established_needed) if the images have established TCP connections and O(tcp_established=false).
    - V(config_broken) if CRIU refuses its options, as with a wrong word in one of its configuration files.
    - V(timed_out) if the command took longer than its limit, see the guide on checkpoints; nothing of it is left.
    - V(label_changed) if a label has changed; see RV(label_before) and RV(label_after).
    - V(name_invalid) if O(name) or O(new_name) cannot be the name of a container.
    - V(rootless_unsupported) if the task does not run as root, or the container is rootless.
    - V(podman_missing) if podman is not installed.
    - V(ability_missing) if the engine cannot do what an option asks for.
    - V(criu_missing) if CRIU is not installed.
    - V(criu_too_old) if podman needs a newer CRIU.
    - V(criu_without_selinux) if CRIU is not linked with libselinux, so the labels would be lost.
    - V(policy_missing) if SELinux does not allow the restore.
    - V(apparmor_denied) if AppArmor has refused the restore, or a part of it.
    - V(runtime_cannot_checkpoint) if the OCI runtime cannot restore.
    - V(network_lock_missing) if CRIU cannot lock the network of the container.
    - V(busy) if another task works on the container or the archive, or holds the SELinux boolean, for a minute.
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: not_checkpointed
label:
  description: The label in the archive.
  returned: failure with reason categories_shared or categories_unknown
  type: str
  sample: system_u:system_r:container_t:s0:c441,c720
containers:
  description: The containers that have this label already.
  returned: failure with reason categories_shared
  type: list
  elements: str
  sample: [web]
profile:
  description: The AppArmor profile that is not loaded.
  returned: failure with reason apparmor_profile_missing or apparmor_parser_missing
  type: str
  sample: containers-default-0.62.2
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /var/lib/checkpoints/web.tar.zst
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [podman, container, restore, --print-stats, --keep, web]
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
  sample: "Error: `/usr/bin/runc restore` failed"
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
    - The denials by SELinux or AppArmor since the task began that matter. Empty if there are none or the log cannot be
      read.
    - Entries are as in RV(criu.hosts.denial_info#module:denials).
  returned: failure of the engine
  type: list
  elements: dict
  sample: []
silent_denials:
  description:
    - The refusals by SELinux or AppArmor that CRIU's log shows, whether or not they were logged as denials.
    - Entries are as in RV(criu.hosts.denial_info#module:silent_denials).
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
cleanup_failed:
  description: Messages of the steps that failed as well when the task cleaned up.
  returned: failure of the cleanup as well
  type: list
  elements: str
  sample: []
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._container.request import SHARED_SPEC, desired_of
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_task import restore
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for

SPEC: dict[str, Any] = {
    **SHARED_SPEC,
    "new_name": {"type": "str"},
    "on_label_mismatch": {"type": "str", "choices": ["stop", "warn"], "default": "stop"},
    "shared_categories": {"type": "str", "choices": ["refuse", "accept"], "default": "refuse"},
}


def run(ctx: Context) -> Outcome:
    desired = desired_of(ctx.params)
    return restore(ctx, engine_for(ctx.params["engine"], ctx), desired)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True, required_by={"new_name": ["archive_path"]})


if __name__ == "__main__":
    main()
