# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Options, requirements and reasons that container_checkpoint and container_restore share."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description: Name of the container.
    type: str
    required: true
  archive_path:
    description:
      - Absolute path of the archive on the host. Without it, the checkpoint lies in place, beside the container.
      - Archives hold the memory of the processes, with every secret in it. Therefore the folder may not be writable for
        others than root, and a missing folder is made with mode V(0700).
      - A record of the container, its labels and the archive's SHA-256 lies beside it, with C(.json) added to the name.
    type: path
  engine:
    description: The container engine.
    type: str
    choices: [podman]
    default: podman
  tcp_established:
    description: Take established TCP connections along. What is checkpointed with it has to be restored with it.
    type: bool
    default: false
  file_locks:
    description: Take file locks along. What is checkpointed with it has to be restored with it.
    type: bool
    default: false
  ignore_rootfs:
    description: Leave the changes of the root file system out. In place they are never touched.
    type: bool
    default: false
  ignore_volumes:
    description: Leave the content of named volumes out. In place it is never touched.
    type: bool
    default: false
  keep:
    description: Keep CRIU's logs after a checkpoint, and the checkpoint in place after a restore.
    type: bool
    default: false
requirements:
  - Podman 4.0 or newer, of root
  - CRIU 3.11 or newer, linked with libselinux where SELinux is enabled
  - 'Debian: C(podman), C(runc) or C(crun) with C(libcriu2), and CRIU of the role P(criu.hosts.criu#role)'
  - 'Red Hat: C(podman), C(runc) or C(crun), C(criu), and C(criu-libs)'
notes:
  - Whether an archive or a checkpoint is current, and what a restore does, is told in C(docs/checkpoints.md) of the
    collection.
  - After a failure of the engine, C(log_path) and C(log_tail) tell what CRIU wrote.
  - C(reason) may be V(rootless_unsupported) (not root, or a user's container), V(podman_missing) (podman is not
    installed), V(ability_missing) (the engine does not have what an option asks for),
    V(name_invalid) (no name of a container),
    V(container_missing) (no such container), V(criu_missing) (no CRIU), V(criu_too_old) (a CRIU that podman does not
    take), V(criu_without_selinux) (a CRIU that would lose the labels), V(policy_missing) (the SELinux policy does not
    let a restore work), V(runtime_cannot_checkpoint)
    (the OCI runtime cannot checkpoint), V(archive_path_unsafe) (the path is not that of a file that only root can
    write), V(archive_mismatch) (the archive holds another container), V(archive_invalid) (cut off, damaged, or no
    checkpoint), V(archive_missing) (no such archive), V(archive_runtime_missing) (the OCI runtime that made the
    archive is not installed), V(container_exists) (a stopped container is in the way), V(name_in_use) (a running
    container is in the way), V(volume_exists) (a volume of the archive is there already), V(image_missing) (the image
    is not on the host), V(cgroup_in_use) (a clone still lives in the container's cgroup), V(container_ended) (it
    ended right after the restore), V(label_changed) (something came back with another label), V(categories_shared)
    (another container has the archive's label), V(new_name_with_tcp) (a
    clone cannot take connections), V(tcp_established_needed) or V(file_locks_needed) (the container has what these
    options take along), V(network_lock_missing) (CRIU cannot lock the container's network), V(not_checkpointed)
    (there is no checkpoint to restore from), V(container_not_running) (there is nothing to checkpoint),
    V(auto_remove) (made with C(--rm), so no checkpoint in place), V(secret_not_restorable) (a secret is mounted below
    C(/run/secrets), where CRIU would not find its place again).
"""
