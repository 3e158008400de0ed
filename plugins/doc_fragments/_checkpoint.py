# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Options, requirements and notes that container_checkpoint and container_restore share."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description: Name of the container, or its full id. The beginning of an id is no name.
    type: str
    required: true
  archive_path:
    description:
      - Absolute path of the archive on the host. Without it, the checkpoint is kept in place, beside the container.
      - An archive holds the memory of the processes, with every secret in it. Therefore only root may be able to write
        to its folder, and a missing folder is created with mode V(0700).
      - A record beside the archive, with C(.json) added to the name, describes the container, its labels and the
        archive's SHA-256.
    type: path
  engine:
    description: The container engine.
    type: str
    choices: [podman]
    default: podman
  tcp_established:
    description: Include established TCP connections. If set for the checkpoint, it must be set for the restore, too.
    type: bool
    default: false
  file_locks:
    description: Include file locks. If set for the checkpoint, it must be set for the restore, too.
    type: bool
    default: false
  ignore_rootfs:
    description: Leave out changes of the container's root file system. Ignored without O(archive_path).
    type: bool
    default: false
  ignore_volumes:
    description: Leave out the content of named volumes. Ignored without O(archive_path).
    type: bool
    default: false
  keep:
    description: Keep CRIU's logs after a checkpoint, and the checkpoint in place after a restore.
    type: bool
    default: false
requirements:
  - Podman 4.0 or newer, rootful
  - CRIU 3.11 or newer, linked with libselinux where SELinux is enabled
  - 'Debian: C(podman), C(runc) or C(crun) with C(libcriu2), and CRIU of the role P(criu.hosts.criu#role)'
  - 'Red Hat: C(podman), C(runc) or C(crun), C(criu), and C(criu-libs)'
notes:
  - Needs root.
  - C(docs/checkpoints.md) explains when an archive or a checkpoint is current, and what a restore does.
  - After a failure of the engine, RV(log_path) and RV(log_tail) show CRIU's own errors.
"""
