#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: restore a container from a checkpoint."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_restore
short_description: Restore a container from its checkpoint, in place, from an archive or from an image
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
  store:
    description:
      - Absolute path of a folder with checkpoints, as M(criu.hosts.container_checkpoint) makes them.
      - The manifest names the record, and the record the archive. A checkpoint with a file that is not the one in its
        manifest is refused.
      - A checkpoint that was made on a pre-checkpoint (O(criu.hosts.container_checkpoint#module:with_previous)) needs
        that one as well, in the same store. One at O(archive_path) needs it in the same folder.
      - Excludes O(archive_path).
    type: path
  checkpoint:
    description:
      - Which checkpoint in O(store) to restore, V(latest) or an ID. V(latest), the default, is the newest one without a
        fault that is seen without reading the archive. A warning names each damaged one that is newer.
      - An archive with a wrong SHA-256 is refused; no other is taken in its place.
    type: str
  image:
    description:
      - Full name of an image on this host that holds a checkpoint, as
        O(criu.hosts.container_checkpoint#module:create_image) and C(podman container checkpoint --create-image) make
        them. Without a tag, V(latest) is taken.
      - The image stays, whatever happens. The record that the host which made it has kept belongs to that very image,
        by its id. Without one, each thread is compared with the label of the container.
      - Podman takes no addresses out of an image, so the container gets one of its network, unless it was made with
        one (C(--ip)). Connections (O(tcp_established)) need the old address.
      - Excludes O(archive_path) and O(store). Podman has this since 4.1. Its storage driver has to be overlay.
    type: str
  decryption_key:
    description:
      - Absolute path on the host of the file with the secret key of age (its identity, or a private key of OpenSSH
        without a passphrase) for an archive that is encrypted with it, as the end of its name, C(.age), says.
      - An archive of gpg (C(.gpg)) needs a key in root's keyring that asks for no passphrase, and no O(decryption_key).
      - The engine reads what is decrypted from a pipe; no file has it as plain text. Podman reads it twice.
    type: path
  new_name:
    description:
      - Restore the archive as a container with this name and a new id. The container keeps the SELinux label in the
        archive, see O(shared_categories).
      - Under runc, such a clone runs in the cgroup of the original, which cannot be restored until the clone has ended.
    type: str
  tcp_close:
    description:
      - Close the TCP connections in the checkpoint instead of restoring them, so an archive with connections can be
        restored under a new name, too. The programs see that their connections have ended.
      - The checkpoint still needs O(criu.hosts.container_checkpoint#module:tcp_established=true). Excludes
        O(tcp_established).
      - Needs podman 5.7 or newer, and an OCI runtime that has it, as crun 1.23 and newer do, and runc does not. It was
        never run on a host, since the tests have podman 5.4.2.
    type: bool
    default: false
  publish:
    description:
      - Ports to publish instead of those that the container had, in the syntax of podman, such as V(8080:80) or
        V(127.0.0.1:8443:443/tcp). Put each in quotes, since YAML reads a text such as 22:22 as a number.
      - Only for a restore from an archive. A container that runs already keeps its ports, and so does one that is
        stopped in the very checkpoint of the archive, which is refused. Without a network of its own, a container
        publishes none.
      - Podman has this since 3.3. It was not run on a host yet.
    type: list
    elements: str
    default: []
  ignore_static_ip:
    description:
      - Give the container an IP address of its network, instead of the one that it had or was made with (C(--ip)).
        With O(new_name), podman asks for the latter only. Connections (O(tcp_established)) need the old address.
      - Podman has this since 1.5; without O(archive_path), it works since 4.4. It was not run on a host yet.
    type: bool
    default: false
  ignore_static_mac:
    description: The same for the MAC address (C(--mac-address)).
    type: bool
    default: false
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

- name: Restore a container from an image
  criu.hosts.container_restore:
    name: web
    image: localhost/checkpoints/web:latest

- name: Restore the latest checkpoint of a store, which is encrypted
  criu.hosts.container_restore:
    name: web
    store: /var/lib/checkpoints/store
    decryption_key: /root/age.key

- name: Restore a copy on a second port, with an address of its own
  criu.hosts.container_restore:
    name: web
    new_name: web-test
    shared_categories: accept # the original is there and has the same categories
    archive_path: /var/lib/checkpoints/web.tar.zst
    publish: ["127.0.0.1:8081:80"]
    ignore_static_ip: true
    ignore_static_mac: true

- name: Restore an archive with connections under a new name, and close them (podman 5.7, crun 1.23)
  criu.hosts.container_restore:
    name: redis
    new_name: redis-copy
    shared_categories: accept # the original is there and has the same categories
    archive_path: /var/lib/checkpoints/redis.tar.zst
    tcp_close: true

- name: Restore the newest checkpoint of a container that a store has
  criu.hosts.container_restore:
    name: web
    store: /var/lib/checkpoints/store
    checkpoint: latest

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
      description: V(container) for a checkpoint in place, V(archive) or V(image); null if the container ran already.
      type: str
      sample: container
    archive_path:
      description: The archive of the task; null in place, and with O(image).
      type: str
      sample: /var/lib/checkpoints/web.tar.zst
    image:
      description: Full name of the image of the task; null without one.
      type: str
      sample: null
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
    - V(container_missing) if there is no such container and none of O(archive_path), O(store) and O(image).
    - V(not_checkpointed) if the container has no checkpoint in place.
    - V(container_paused) if the container is paused, with or without a checkpoint.
    - V(container_ending) if the container is being stopped or removed at this moment, or its stop was cut off.
    - V(container_ended) if the container ended right after the restore.
    - V(container_exists) if a stopped container has the name, or a container with a different name has the id, or if
      O(publish) is set and the archive's own container is stopped in that checkpoint.
    - V(name_in_use) if a container that is not stopped and does not come from this archive has the name.
    - V(new_name_with_tcp) if O(new_name) and O(tcp_established) are both set, as a clone cannot take connections.
    - V(options_conflict) if O(tcp_close) and O(tcp_established) are both set, or O(publish) or O(new_name) without
      O(archive_path), O(store) and O(image).
    - V(decryption_key_missing) if the archive is encrypted and O(decryption_key) is missing, or it needs none.
    - V(decryption_failed) if the archive cannot be decrypted, as with a wrong key. Nothing of it is left.
    - V(store_unsafe) if others can change O(store), or which folder it names.
    - V(store_unreadable) if the store cannot be read.
    - V(checkpoint_missing) if the store has no such checkpoint of the container, or the host no such O(image).
    - V(checkpoint_damaged) if the checkpoint lacks a file, or has one that is not the one in its manifest; see
      RV(path).
    - V(option_invalid) if podman would refuse a value of O(publish), O(image) is not the full name of an image, or an
      option does not fit O(store); see RV(option).
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
    - V(image_missing) if the image of the container is not on this host, or has lost its name there.
    - V(mount_source_missing) if a file or folder of the host that the container has mounted is missing; see RV(path).
    - V(host_mounts_at_risk) if a file system is mounted below a folder of the host that the container has mounted, and
      runc would unmount it from the host; see RV(path). Nothing was done.
    - V(mount_source_link) if the source of a mount is a symbolic link, which CRIU 3.17 and newer cannot mount; the
      option C(mntns-compat-mode) (M(criu.hosts.criu_config)) helps.
    - V(mount_replaced) if a file or folder that the container had mounted was replaced before the checkpoint, so it
      cannot be restored.
    - V(volume_exists) if a volume in the archive exists on this host already.
    - V(archive_missing) if there is no such archive.
    - V(archive_invalid) if the archive or image is truncated, damaged or not a checkpoint, if its record cannot be
      used, or if its OCI runtime is a program that the engine does not know.
    - V(record_invalid) if the record of a checkpoint in place cannot be used.
    - V(archive_unreadable) if the archive has no record and the host lacks libzstd, with which it is compressed.
    - V(archive_mismatch) if the archive or image holds a different container.
    - V(archive_pre_dump) if the archive is that of a pre-checkpoint, which holds memory and no processes.
    - V(parent_missing) if the pre-checkpoint that the checkpoint was made on is missing.
    - V(parent_changed) if the archive of that pre-checkpoint has changed.
    - V(archive_partial) if an earlier task died when it encrypted the archive of a container that is gone. Nobody has
      seen that archive complete, and it is all that is left; the message says what to do.
    - V(answer_invalid) if the output of podman about O(image) cannot be read.
    - V(archive_path_unsafe) if others can change the file, or which file the path names.
    - V(trust_refused) if the trust policy of the host does not accept the archive; see RV(refusals).
    - V(trust_policy_invalid) if that policy cannot be used, or others can change it.
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
    - V(network_missing) if a network of the container is not on this host.
    - V(tcp_established_needed) if the images have established TCP connections and O(tcp_established=false).
    - V(config_broken) if CRIU refuses its options, as with a wrong word in one of its configuration files.
    - V(timed_out) if the command took longer than its limit, see the guide on checkpoints; nothing of it is left.
    - V(label_changed) if a label has changed; see RV(label_before) and RV(label_after).
    - V(name_invalid) if O(name) or O(new_name) cannot be the name of a container.
    - V(rootless_unsupported) if the task does not run as root, or the container is rootless.
    - V(podman_missing) if podman is not installed.
    - V(ability_missing) if the engine, its release or the OCI runtime cannot do what an option asks for.
    - V(criu_missing) if CRIU is not installed.
    - V(criu_too_old) if podman needs a newer CRIU, or the checkpoint was made by a newer one.
    - V(architecture_mismatch) if the checkpoint was made on a host of a different architecture.
    - V(cpu_mismatch) if the processor lacks instructions that the one of the checkpoint's host has.
    - V(kernel_too_old) if the kernel is older than the one of the checkpoint, by its first two numbers.
    - V(engine_too_old) if podman is older than the one of the checkpoint, by its first two numbers.
    - V(cgroup_mismatch) if the host has a different version of control groups.
    - V(lsm_mismatch) if the threads have labels of a security module that this host does not have.
    - V(criu_without_selinux) if CRIU is not linked with libselinux, so the labels would be lost.
    - V(policy_missing) if SELinux does not allow the restore.
    - V(apparmor_denied) if AppArmor has refused the restore, or a part of it.
    - V(runtime_cannot_checkpoint) if the OCI runtime cannot restore.
    - V(network_lock_missing) if CRIU cannot lock the network of the container.
    - V(busy) if another task works on the container or the archive, or holds the SELinux boolean, for a minute.
    - V(disk_full) if there is no space left, or less than an archive needs.
    - V(file_failed) if a file or folder could not be written, or the process that decrypts the archive was killed.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: not_checkpointed
reasons:
  description:
    - All that was found to keep the restore from succeeding, in the order in which it was looked for. The first entry
      is that of RV(reason).
  returned: failure before the restore has begun, but for wrong options and an archive that cannot be read
  type: list
  elements: dict
  contains:
    reason:
      description: As RV(reason).
      type: str
      sample: image_missing
    message:
      description: Why the restore would fail.
      type: str
      sample: "Cannot restore '/ckpt/web.tar.zst': its image 'localhost/web:latest' (25b6c0b9a81c) is not on this host."
    remedy:
      description: What to do about it.
      type: str
      sample: >-
        Pull or load that very image first; on a host that has it, 'podman save localhost/web:latest | ssh HOST podman
        load' brings it here.
refusals:
  description: Every reason for which the trust policy of the host refuses the archive.
  returned: failure with reason trust_refused
  type: list
  elements: dict
  contains:
    reason:
      description:
        - V(signature_missing), V(signature_invalid) or V(signer_unknown) if no signer whom the policy names has
          signed exactly this checkpoint.
        - V(trust_image), V(trust_label), V(trust_mount), V(trust_capability) or V(trust_device) if it would bring
          something that the policy does not list.
        - V(trust_unknown) if it cannot be found out what the checkpoint would bring to this host.
      type: str
      sample: trust_label
    message:
      description: The reason as a clause of a sentence.
      type: str
      sample: "the label 'spc_t' is not in its list of labels"
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
option:
  description: The option that cannot be used.
  returned: failure with reason option_invalid
  type: str
  sample: publish
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
    "checkpoint": {"type": "str"},
    "image": {"type": "str"},
    "decryption_key": {"type": "path"},
    "new_name": {"type": "str"},
    "tcp_close": {"type": "bool", "default": False},
    "publish": {"type": "list", "elements": "str", "default": []},
    "ignore_static_ip": {"type": "bool", "default": False},
    "ignore_static_mac": {"type": "bool", "default": False},
    "on_label_mismatch": {"type": "str", "choices": ["stop", "warn"], "default": "stop"},
    "shared_categories": {"type": "str", "choices": ["refuse", "accept"], "default": "refuse"},
}


def run(ctx: Context) -> Outcome:
    desired = desired_of(ctx.params)
    return restore(ctx, engine_for(ctx.params["engine"], ctx), desired)


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        mutually_exclusive=[("archive_path", "store", "image")],
        required_by={"checkpoint": ["store"]},
    )


if __name__ == "__main__":
    main()
