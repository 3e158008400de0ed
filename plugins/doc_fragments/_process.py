# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Options, requirements and notes that process_checkpoint and process_restore share."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  images_path:
    description:
      - Absolute path of the folder with CRIU's images. The folder appears complete, in one rename, or not at all.
      - Images hold the memory of the processes, with every secret in it. Therefore the folder has mode V(0700), its
        files have mode V(0600), and only their owner may be able to write to the parent folder.
      - C(criu-hosts.json) in the folder is a record of the process. CRIU's logs and statistics are in C(.NAME.criu)
        beside the folder.
      - Either this or O(store) is needed.
    type: path
  store:
    description:
      - Absolute path of a folder that keeps checkpoints, each in a folder of its own below C(processes/NAME). It is
        made with mode V(0700) if it is missing.
      - A checkpoint gets its name, an ID with its time, when it is complete. A crash leaves a complete one or none. The
        images are in its folder C(images). Its C(manifest.json) says what it is, how and where it was made, and the
        SHA-256 of each image.
      - Excludes O(images_path).
    type: path
  name:
    description:
      - The name of the process in O(store). Without it, that of O(unit) is taken, without the suffix.
    type: str
  unit:
    description:
      - Name of a systemd service. A checkpoint is made of its main process.
      - A restore is done by systemd, so that the service runs again with this main process, in its cgroup. Without this
        option, the service in the record is used. A name that systemd does not know becomes a transient service.
    type: str
  shell_job:
    description:
      - Whether the process is in the session of a process outside, such as a job of a shell, or a daemon that forks
        twice. The session and its terminal are not in the images.
      - Without it, a checkpoint takes it as false, and a restore takes it from the record and the images.
    type: bool
  tcp_established:
    description:
      - Include established TCP connections.
      - Without it, a checkpoint takes it as false, and a restore takes it from the record.
    type: bool
  file_locks:
    description:
      - Include file locks.
      - Without it, a checkpoint takes it as false, and a restore takes it from the record and the images. If it is
        false, the restored process has lost its locks, and a warning says so.
    type: bool
  external:
    description:
      - Resources outside the processes, in the syntax of CRIU's option C(--external), such as V(unix[7097]) or
        V(mnt[/data]:data).
      - A restore connects Unix sockets that were listed for the checkpoint to the name of the other end again.
      - Standard output and error that a service sends to the journal need not be listed. They go there again after the
        restore.
    type: list
    elements: str
    default: []
requirements:
  - CRIU 3.11 or newer, linked with libselinux where SELinux is enabled
  - 'Debian: CRIU of the role P(criu.hosts.criu#role); policy of the role P(criu.hosts.criu_selinux#role)'
  - 'Red Hat: C(criu), C(criu-libs)'
notes:
  - C(docs/checkpoints.md) explains when images are current, and what a restore does.
  - CRIU reads C(/etc/criu/default.conf) as well. An option that is set there need not be set here.
  - A user other than root needs a CRIU with file capabilities. It is called with C(--unprivileged).
  - After a failure of CRIU, RV(log_path) and RV(log_tail) show its own errors.
"""
