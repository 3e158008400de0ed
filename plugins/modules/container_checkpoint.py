#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: checkpoint a container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_checkpoint
short_description: Checkpoint a container, in place, to an archive or to an image
version_added: 0.1.0
description:
  - Saves the state of a running container, including its memory, and stops it (unless O(leave_running=true)).
  - If the checkpoint fails, the container keeps running. If podman has already stopped it, for example because the disk
    is full, the module restores it.
  - Records the SELinux label or AppArmor profile of every thread, so that M(criu.hosts.container_restore) can prove
    that none has changed.
  - Warns about processes that do not descend from the container's first one, such as those of C(podman exec), since a
    checkpoint leaves them out, and about namespaces of a different container, which a restore needs unchanged.
  - Only one task at a time works on a container or archive. If a task was killed, the next one completes or undoes what
    it had begun, and says so in a warning.
author:
  - The criu.hosts authors (!UNKNOWN)
extends_documentation_fragment:
  - criu.hosts._attributes
  - criu.hosts._checkpoint
options:
  state:
    description:
      - V(present) makes a checkpoint of the running container, unless there is one of this run already.
      - V(absent) removes the archive or the image (O(create_image)) with its record, or the checkpoint in place. It
        never removes the container.
    type: str
    choices: [present, absent]
    default: present
  create_image:
    description:
      - Full name of an image to make in podman's storage that holds the checkpoint, such as
        V(localhost/checkpoints/web:latest). Without a tag, it gets V(latest). It is an OCI image of one layer with the
        files of an archive, and podman's annotations say what it holds, so it can be pushed, pulled and saved like any
        image.
      - The image holds the memory of the processes, with every secret in it, and so does every registry that it is
        pushed to. Nothing in it is encrypted or signed.
      - An image of that name that holds this run of the container is current. One of an earlier run is replaced when
        the new one is complete, and removed unless it has another name. The task never replaces an image of that name
        of which this host has no record.
      - The record with the labels stays on this host, in C(/var/lib/criu-hosts/images). On a different host, a restore
        compares each thread with the label of the container.
      - Podman writes the memory several times meanwhile, so there has to be room for five times as much. It makes no
        image of a container that was made with C(--rm), and leaves nothing out (O(ignore_rootfs), O(ignore_volumes)).
      - The checkpoint in place stays as well, unless O(leave_running=true).
      - With O(state=absent), the image is removed. Excludes O(archive_path) and O(store).
      - Podman has this since 4.1.
    type: str
  leave_running:
    description:
      - Leave the container running after the checkpoint.
      - With O(archive_path), O(store) or O(create_image), podman before 6.0 copies the container's files to the archive
        while the container runs on, so files that it writes then are newer than its memory. The task warns about that,
        and fails if an open file has a different size in the copy, which no restore would accept. Other differences
        stay unnoticed.
    type: bool
    default: false
  pre_checkpoint:
    description:
      - Save the memory of the container while it runs, as a first step. The checkpoint that follows with
        O(with_previous=true) saves only what has changed since, so the container is held up for a shorter time.
      - It is no checkpoint. M(criu.hosts.container_restore) never takes it alone, and O(leave_running),
        O(ignore_rootfs) and O(ignore_volumes) mean nothing for it.
      - With O(store) or O(archive_path), its archive is kept there. The checkpoint then needs the same store, or a
        different file in the same folder, and so does each restore of it. M(criu.hosts.checkpoint_retention) removes a
        stored one when the last checkpoint that was made on it is gone.
      - A pre-checkpoint of this run of the container is left alone, as is a container that is stopped in its
        checkpoint. O(when) and O(max_age) make a newer one; with O(archive_path) only if no archive needs the old one.
      - Excludes O(with_previous), O(create_image) and O(encrypt_to). Needs a kernel that tracks changes of memory
        (C(CONFIG_MEM_SOFT_DIRTY), C(criu check --feature mem_dirty_track)), podman 3.2.1 or newer, and runc or crun
        1.4.2 or newer.
    type: bool
    default: false
    version_added: 0.1.0
  with_previous:
    description:
      - Make the checkpoint on the pre-checkpoint of this run of the container, which has to be there. It is used up by
        that, also if the checkpoint fails.
      - A checkpoint of this run that is current stays so, with or without it.
      - Excludes O(pre_checkpoint), O(create_image) and O(encrypt_to).
    type: bool
    default: false
    version_added: 0.1.0
  max_age:
    description:
      - How old an archive of a container that runs on may be, for example V(1h), V(30m), V(7d) or a number of seconds.
        One that is older is made again; it stays until the new one is complete. Without it, an archive of this run of
        the container is current however old it is.
      - The age counts from RV(checkpoint.checkpointed_at). A time in the future, as after a clock that was wrong, makes
        an archive outdated, and a warning says so.
      - It matters with O(leave_running). An archive of a container that has ended, or was removed, has its last state,
        and stays current.
      - Needs O(archive_path), O(store) or O(create_image), since podman overwrites a checkpoint in place before the new
        one is complete.
    type: str
  when:
    description:
      - V(changed) makes no checkpoint of a run of the container that has one already, unless that is older than
        O(max_age).
      - V(always) makes one in each run of the task, for a container that runs on (O(leave_running)). An old one in
        O(store) is kept; one at O(archive_path) or O(create_image) stays until the new one is complete. Needs one of
        these.
    type: str
    choices: [changed, always]
    default: changed
    version_added: 0.1.0
  store:
    description:
      - Absolute path of a folder that keeps checkpoints, each in a folder of its own below
        C(containers/NAME), where C(NAME) is the container. It is made with mode V(0700) if it is missing.
      - A checkpoint gets its name, an ID with its time, when it is complete. A crash leaves a complete one or none. Its
        C(manifest.json) says what it is, how and where it was made, and the SHA-256 of each file.
      - The newest checkpoint counts as the one that is current. None is ever replaced.
      - Excludes O(archive_path). O(state=absent) does not take it.
    type: path
  why:
    description: Why the checkpoint is made, in one line, for its manifest. Needs O(store).
    type: str
  signing_key:
    description:
      - Absolute path on the host of a private key of OpenSSH, by which C(ssh-keygen) signs the manifest of the
        checkpoint, and so every file of it. The key has no passphrase. Or the path of a public key, whose private key
        an agent holds that the task reaches (C(SSH_AUTH_SOCK)).
      - A checkpoint without a signature counts as none while the container runs. One that the container is stopped in
        gets a signature, if this host has kept its record. Any other may come from elsewhere, and is not signed.
      - The role P(criu.hosts.checkpoint_host#role) lets a host restore only what certain keys have signed.
    type: path
  encrypt_to:
    description:
      - For whom to encrypt the archive. Each is a public key, or the absolute path of a file with public keys on the
        host.
      - A key for V(age) begins with C(age1), C(ssh-ed25519) or C(ssh-rsa), one for V(gpg) is the fingerprint of a key
        in root's keyring, with 40 or 64 hexadecimal digits.
      - The archive is encrypted on its way to the disk, and no file of it is ever plain text. The engine itself still
        writes the memory to its storage, see the guide on trust.
      - With O(archive_path), that ends with C(.age) or C(.gpg). A checkpoint in place cannot be encrypted.
      - With O(leave_running), an encrypted archive is not searched for files that the container changed before they
        were copied.
    type: list
    elements: str
    default: []
  encryption:
    description: The program that encrypts.
    type: str
    choices: [age, gpg]
    default: age
  compression:
    description: How the archive is compressed.
    type: str
    choices: [none, gzip, zstd]
    default: zstd
  compression_level:
    description:
      - How much to compress, from V(1) (fast) to V(9) for V(gzip) or V(19) for V(zstd). Without it, podman compresses
        with a level of its own, on all processors.
      - An archive of this run with a different level stays current.
      - With a level, the module compresses what podman writes. V(zstd) needs libzstd for that, which nearly all hosts
        have, and uses all processors; without libzstd, a warning says that the level has no effect. V(gzip) uses one
        processor.
    type: int
seealso:
  - module: criu.hosts.denial_info
    description: Explains denials by SELinux and AppArmor.
  - module: criu.hosts.container_restore
  - name: podman-container-checkpoint(1)
    description: The command that the module runs.
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

- name: Have a checkpoint that is not older than an hour, of a container that runs on
  criu.hosts.container_checkpoint:
    name: web
    archive_path: /var/lib/checkpoints/web.tar.zst
    leave_running: true
    max_age: 1h

- name: Keep a checkpoint of every hour in a store, of a container that runs on
  criu.hosts.container_checkpoint:
    name: web
    store: /var/lib/checkpoints/store
    leave_running: true
    max_age: 1h
    why: hourly

- name: Keep signed and encrypted checkpoints, which this host cannot read itself
  criu.hosts.container_checkpoint:
    name: web
    store: /var/lib/checkpoints/store
    signing_key: /etc/criu-hosts/sign
    encrypt_to:
      - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p

- name: Make a checkpoint of much memory in two steps, of which only the second one holds the container up
  block:
    - name: Save the memory while the container runs
      criu.hosts.container_checkpoint:
        name: web
        store: /var/lib/checkpoints/store
        pre_checkpoint: true

    - name: Checkpoint what has changed since
      criu.hosts.container_checkpoint:
        name: web
        store: /var/lib/checkpoints/store
        with_previous: true

- name: Keep the last state in an image, which podman can push to a registry
  criu.hosts.container_checkpoint:
    name: web
    create_image: localhost/checkpoints/web:latest

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
      description: Id of the container; null if there is neither a container nor a record of it.
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
      description: Path of the archive; null in place, and in check mode if it would be made in a store.
      type: str
      sample: /var/lib/checkpoints/web.tar.zst
    image:
      description: Full name of the image (O(create_image)); null without one.
      type: str
      sample: localhost/checkpoints/web:latest
    image_id:
      description: Id of the image; null without one, and in check mode if it would be made.
      type: str
      sample: d1ddd1b6b179f26cc3985dff4cf0b09065bbc293b9c093405b0d9a3c4c098644
    store:
      description: The store; null without one.
      type: str
      sample: null
    checkpoint_id:
      description: ID of the checkpoint in the store; null without one, and in check mode if it would be made.
      type: str
      sample: null
    record_path:
      description: Path of the record; null in place, and for an image.
      type: str
      sample: /var/lib/checkpoints/web.tar.zst.json
    size_bytes:
      description: Size of the archive or image; null in place and in check mode.
      type: int
      sample: 1230488
    sha256:
      description: SHA-256 of the archive; null in place and in check mode.
      type: str
      sample: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
    checkpointed_at:
      description: When the checkpoint was made, in UTC; null in check mode and if there is no record.
      type: str
      sample: "2026-11-22T23:39:36Z"
    runtime:
      description: OCI runtime of the container.
      type: str
      sample: runc
    pre_checkpoint:
      description: Whether it is a pre-checkpoint (O(pre_checkpoint)), from which nothing is restored alone.
      type: bool
      sample: false
    parent:
      description:
        - Path of the archive of the pre-checkpoint that a restore of this one needs, too.
        - It is null without one, in place, and in check mode if the checkpoint would be made.
      type: str
      sample: /var/lib/checkpoints/store/containers/web/20261130T164500Z-1a2b3c4d/archive.tar.zst
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
      description: Time to collect the memory.
      type: int
      sample: 71209
    memory_write_microseconds:
      description: Time to write the memory.
      type: int
      sample: 39490
    scanned_pages:
      description: Pages of memory that were scanned.
      type: int
      sample: 2148
    written_pages:
      description: Pages of memory that were written.
      type: int
      sample: 2081
restore_risks:
  description:
    - Why a restore of this checkpoint would be refused or fail, as the host is now. Each is a warning as well.
    - Empty if there is no reason, or if no checkpoint was made.
  returned: success
  type: list
  elements: dict
  contains:
    reason:
      description:
        - V(host_mounts_at_risk) if runc would unmount a file system from the host.
        - V(mount_source_link) if the source of a mount is a symbolic link.
      type: str
      sample: host_mounts_at_risk
    message:
      description: The reason as a sentence, with what to do.
      type: str
      sample: A restore of container 'web' is refused while '/srv/web/disk' is mounted below '/srv/web', ...
commands:
  description: Argument lists of the commands that change the host. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[podman, container, checkpoint, --print-stats, web]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(container_missing) if there is no such container.
    - V(container_paused) if the container is paused.
    - V(container_not_running) if the container does not run, so there is no state to save.
    - V(auto_remove) if a checkpoint in place or an image is wanted of a container that was made with C(--rm).
    - V(unit_managed) if the container belongs to an active systemd unit, which would start it again; see RV(unit).
    - V(mount_replaced) if a file or folder of the host that the container has mounted was replaced since; see
      RV(path). No checkpoint of this run could be restored.
    - V(mount_source_missing) if a file or folder of the host that the container has mounted is gone; see RV(path).
      From a restore that an earlier task had begun, it may also be missing for that.
    - V(host_mounts_at_risk) if a restore that an earlier task had begun, or that brings the container back after a
      failure, would unmount a file system from the host; see RV(path).
    - V(has_dependencies) if O(archive_path) or O(create_image) is set and the container uses namespaces of a different
      one.
    - V(in_pod) if O(archive_path) or O(create_image) is set and the container is in a pod.
    - V(archive_inconsistent) if O(leave_running=true) and the container changed an open file before it was copied to
      the archive or image, so that no restore would succeed. That is removed, and the container keeps running.
    - V(secret_not_restorable) if a secret is mounted below C(/run/secrets), where no restore from an archive finds it.
    - V(checkpoint_in_use) if the checkpoint to remove is the only state of a stopped container, or the archive was
      completed just now for a task that had died, or is that of a pre-checkpoint which another archive needs.
    - V(parent_missing) if O(with_previous=true) and there is no pre-checkpoint of this run of the container that no
      checkpoint was made on yet, or it is not kept in the same place.
    - V(parent_changed) if the archive of that pre-checkpoint is not the one that was made.
    - V(memory_tracking_missing) if the kernel, or CRIU, cannot track changes of memory.
    - V(archive_mismatch) if the archive or image to remove holds a different container, or no checkpoint.
    - V(archive_partial) if an earlier task died when it encrypted the archive of a container that is gone. Nobody has
      seen that archive complete, and it is all that is left; the message says what to do.
    - V(image_exists) if an image has the name in O(create_image) of which this host has no record, or which holds a
      different container.
    - V(answer_invalid) if the output of podman about that image cannot be read.
    - V(archive_path_unsafe) if others can change the file, or which file the path names.
    - V(name_invalid) if O(name) cannot be the name of a container.
    - V(option_invalid) if O(create_image) is not the full name of an image, O(max_age) is no duration, O(compression)
      does not have O(compression_level), O(why) is not one line, O(encrypt_to) has no key, or an option needs another
      or excludes it; see RV(option).
    - V(encryption_failed) if the archive cannot be encrypted for one in O(encrypt_to). This is tried before the dump.
    - V(signing_failed) if O(signing_key) cannot sign, which is tried before the dump, or if the current checkpoint has
      no signature and nothing proves that it was made on this host.
    - V(store_unsafe) if others can change O(store), or which folder it names.
    - V(store_unreadable) if the store cannot be read.
    - V(checkpoint_damaged) if the newest checkpoint in the store has no archive that this release can restore.
    - V(rootless_unsupported) if the task does not run as root, or the container is rootless.
    - V(podman_missing) if podman is not installed.
    - V(ability_missing) if the engine, or its release, cannot do what an option asks for.
    - V(criu_missing) if CRIU is not installed.
    - V(criu_too_old) if podman needs a newer CRIU.
    - V(criu_without_selinux) if CRIU is not linked with libselinux, so the labels would be lost.
    - V(apparmor_profile_missing) if an AppArmor profile of the container is not loaded, in a restore that an earlier
      task had begun, or that brings the container back after a failed export; see RV(profile).
    - V(apparmor_parser_missing) if C(apparmor_parser), by which the engine loads its profile, is not installed.
    - V(restore_leftovers) if the state that an earlier failed restore has left in the OCI runtime or in systemd is in
      the way; the next task removes it.
    - V(policy_missing) if SELinux would not allow a restore, or has refused the checkpoint.
    - V(apparmor_denied) if AppArmor has refused the checkpoint, or a part of it.
    - V(runtime_cannot_checkpoint) if the OCI runtime of the container cannot checkpoint.
    - V(network_lock_missing) if CRIU cannot lock the network of the container.
    - V(tcp_established_needed) if the container has established TCP connections and O(tcp_established=false).
    - V(file_locks_needed) if the container holds file locks and O(file_locks=false).
    - V(ghost_limit) if the container uses a deleted file that is larger than CRIU's limit for such files.
    - V(link_remap_needed) if the container uses a deleted file that has a different name still.
    - V(inotify_handle) if the container watches a file (inotify, fanotify) whose path CRIU cannot find.
    - V(io_uring) if the container uses io_uring, which CRIU cannot save.
    - V(apparmor_profile_name) if the name of an AppArmor profile of the container has a blank; CRIU saves its first
      word only.
    - V(apparmor_profile_stacked) if the container has several AppArmor profiles at once (a stack), which the kernel
      does not let it take again.
    - V(sysv_memory) if the container uses System V shared memory outside of an IPC namespace of its own.
    - V(message_queue) if there are POSIX message queues in its C(/dev/mqueue).
    - V(mount_unsupported) if CRIU cannot save, or restore, one of its mounts.
    - V(mount_namespace) if the container has a file open that is on none of its mounts.
    - V(external_socket) if the container is connected to a Unix socket of the host or of a different container.
    - V(device_open) if the container has a device, or a file of the kernel, open that CRIU cannot save.
    - V(cgroup_missing) if its processes are in the control group of a different container, as those of a clone are.
    - V(process_traced) if CRIU cannot trace one of its processes, as when a debugger has it.
    - V(session_outside) if the leader of its session is outside of its pid namespace.
    - V(limits_unreadable) if root lacks C(CAP_SYS_RESOURCE) on this host.
    - V(label_unreadable) if CRIU takes the label of a different security module for one of SELinux.
    - V(config_broken) if CRIU refuses its options, as with a wrong word in one of its configuration files.
    - V(timed_out) if the command took longer than its limit, see the guide on checkpoints; the container runs on.
    - V(label_changed) if a label has changed in a restore that an earlier task had begun; see RV(label_before) and
      RV(label_after).
    - V(container_ended) if the container ended right after a restore that an earlier task had begun.
    - V(busy) if another task works on the container or the archive, or holds the SELinux boolean, for a minute.
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: container_not_running
unit:
  description: The systemd unit that the container belongs to.
  returned: failure with reason unit_managed
  type: str
  sample: web.service
option:
  description: The option that cannot be used.
  returned: failure with reason option_invalid
  type: str
  sample: max_age
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
obstacles:
  description: What CRIU is certain to refuse in the processes, as /proc shows it, one for each kind and process.
  returned: failure that /proc shows beforehand
  type: list
  elements: dict
  contains:
    reason:
      description: As RV(reason).
      type: str
      sample: io_uring
    text:
      description: The process, and what it has.
      type: str
      sample: "process 1426 ('node') uses io_uring (open as file descriptor 9), which CRIU cannot dump"
    advice:
      description: What to do.
      type: str
      sample: End the tracer (gdb, strace), or let it detach.
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [podman, container, checkpoint, --print-stats, web]
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
  sample: "Error: `/usr/bin/runc checkpoint` failed"
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
labels:
  description: The labels of all threads, as in RV(criu.hosts.container_restore#module:labels).
  returned: failure with reason label_changed
  type: list
  elements: dict
  sample: []
label_differences:
  description: Other labels that differ, as in RV(criu.hosts.container_restore#module:label_differences).
  returned: failure with reason label_changed
  type: list
  elements: dict
  sample: []
container_state:
  description: State of the container after the failure; V(unknown) if podman does not answer.
  returned: failure of the engine
  type: str
  sample: running
cleanup_failed:
  description: Messages of the steps that failed as well when the task cleaned up.
  returned: failure of the cleanup as well
  type: list
  elements: str
  sample: []
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._container.checkpoint import checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._container.remove import remove
from ansible_collections.criu.hosts.plugins.module_utils._container.request import SHARED_SPEC, desired_of
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for

SPEC: dict[str, Any] = {
    **SHARED_SPEC,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "create_image": {"type": "str"},
    "leave_running": {"type": "bool", "default": False},
    "pre_checkpoint": {"type": "bool", "default": False},
    "with_previous": {"type": "bool", "default": False},
    "max_age": {"type": "str"},
    "compression": {"type": "str", "choices": ["none", "gzip", "zstd"], "default": "zstd"},
    "compression_level": {"type": "int"},
    "when": {"type": "str", "choices": ["changed", "always"], "default": "changed"},
    "why": {"type": "str"},
    "signing_key": {"type": "path"},
    "encrypt_to": {"type": "list", "elements": "str", "default": []},
    "encryption": {"type": "str", "choices": ["age", "gpg"], "default": "age"},
}


def run(ctx: Context) -> Outcome:
    desired = desired_of(ctx.params)
    act = checkpoint if desired.state == "present" else remove
    return act(ctx, engine_for(ctx.params["engine"], ctx), desired)


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        mutually_exclusive=[("archive_path", "store", "create_image")],
        required_by={"why": ["store"], "signing_key": ["store"]},
    )


if __name__ == "__main__":
    main()
