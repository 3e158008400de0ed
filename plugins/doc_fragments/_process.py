# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Options, requirements and reasons that process_checkpoint and process_restore share."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  images_path:
    description:
      - Absolute path of the folder with CRIU's images. It appears complete, in one rename, or not at all.
      - Images hold the memory of the processes, with every secret in it. Therefore the folder is made with mode V(0700)
        and its files with mode V(0600), and others than the owner may not write to the folder above it.
      - A record of the process lies in it as C(criu-hosts.json). CRIU's logs and statistics lie beside it, in
        C(.NAME.criu).
    type: path
    required: true
  unit:
    description:
      - Name of a systemd service. For a checkpoint, its main process is meant.
      - A restore lets systemd do it, so that the service runs again with this main process, in its cgroup. Without it,
        the service of the record is meant. A name that systemd does not know becomes a transient service.
    type: str
  shell_job:
    description: The process is a job of a shell, with a terminal and a session that are not in the images.
    type: bool
    default: false
  tcp_established:
    description: Take established TCP connections along. What is checkpointed with it has to be restored with it.
    type: bool
    default: false
  file_locks:
    description: Take file locks along. What is checkpointed with it has to be restored with it.
    type: bool
    default: false
  external:
    description:
      - Resources outside of the processes, as CRIU's option C(--external) takes them, such as V(unix[7097]) or
        V(mnt[/data]:data).
      - Standard output and error of a service that lead to the journal need no mention. They lead there again after
        the restore.
    type: list
    elements: str
    default: []
requirements:
  - CRIU 3.11 or newer, linked with libselinux where SELinux is enabled
  - 'Debian: CRIU of the role P(criu.hosts.criu#role); policy of the role P(criu.hosts.criu_selinux#role)'
  - 'Red Hat: C(criu), C(criu-libs)'
notes:
  - Whether images are current, and what a restore does, is told in C(docs/checkpoints.md) of the collection.
  - CRIU reads C(/etc/criu/default.conf) as well. An option that is set there need not be given here.
  - A user that is not root needs a CRIU with file capabilities. CRIU is then called with C(--unprivileged).
  - After a failure of CRIU, C(log_path) and C(log_tail) tell what it wrote.
  - C(reason) may be V(images_path_unsafe) (the path is not that of a folder that only its owner can write),
    V(images_invalid) (the folder holds something else, or damaged images), V(parent_changed) (the parent images are
    gone or others), V(criu_missing) (no CRIU), V(criu_too_old) (a CRIU without configuration files),
    V(criu_without_selinux) (a CRIU that would lose the labels), V(policy_missing) (the SELinux policy does not let a
    restore work), V(root_needed) or
    V(rootless_unsupported) (only root can do it), V(unit_invalid) (not the name of a service), V(unit_missing) (no such
    service), V(unit_running) (the service runs), V(pid_file_invalid) (no process id in it), V(external_invalid) (no
    external resource of CRIU), V(parent_invalid) (not an earlier moment of the process), V(tcp_established_needed),
    V(file_locks_needed), V(shell_job_needed) or V(external_needed) (the process has what these options take along),
    V(memory_tracking_missing) (the kernel cannot track changes of memory), V(network_lock_missing) (CRIU cannot lock
    the network), V(process_running) (the process that was checkpointed lives), V(pid_in_use) (somebody has one of its
    ids), V(process_ended) (it ended right after the restore), V(label_changed) (threads came back with other labels),
    V(images_missing) (there are no images), V(images_pre_dump) (memory without processes) or V(terminal_missing) (a
    shell job needs a terminal).
"""
