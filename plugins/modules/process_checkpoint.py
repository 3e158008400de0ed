#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: checkpoint a process."""

from __future__ import annotations

DOCUMENTATION = r"""
module: process_checkpoint
short_description: Checkpoint a process and its descendants to a folder of images or a store
version_added: 0.1.0
description:
  - Saves the state of a running process and its descendants, including their memory, and ends them (unless
    O(leave_running=true) or O(pre_dump=true)).
  - If the checkpoint fails, the processes keep running. If CRIU has already ended them, for example because the disk is
    full, the module restores them.
  - If a task was killed, the next task with the same O(images_path), or the same O(store) and O(name), completes or
    undoes what it had begun. A warning says so.
  - The main process of a systemd service can be checkpointed as well. Systemd does not restart the service then.
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
    description:
      - A file with the id of the process.
      - A file that another user can write may only name a process of that user.
    type: path
  state:
    description:
      - V(present) makes images of the running process, unless the images are of this very process already.
      - V(absent) removes the images with their record and logs. It never ends the process. If a checkpoint was cut off,
        it puts the images in place and fails with V(images_partial), and removes them only when it runs again.
      - V(absent) does not take O(store). Use M(criu.hosts.checkpoint_retention).
    type: str
    choices: [present, absent]
    default: present
  why:
    description: Why the checkpoint is made, in one line, for its manifest. Needs O(store).
    type: str
  max_age:
    description:
      - How old the images of a process that runs on may be, for example V(1h), V(30m), V(7d) or a number of seconds.
        Older ones are made again. Without it, images of this very process are current however old they are.
      - The age counts from RV(checkpoint.checkpointed_at). A time in the future, as after a clock that was wrong, makes
        them outdated, and a warning says so.
      - It matters with O(leave_running). Images of a process that has ended have its last state, and stay current.
    type: str
  when:
    description:
      - V(changed) makes no checkpoint of a process that has one already, unless that is older than O(max_age).
      - V(always) makes one in each run of the task, of a process that runs on (O(leave_running)). An old one in
        O(store) is kept; one at O(images_path) stays until the new one is complete.
    type: str
    choices: [changed, always]
    default: changed
  leave_running:
    description: Leave the process running after the checkpoint.
    type: bool
    default: false
  pre_dump:
    description:
      - Save memory only, and leave the process running. A later checkpoint with O(parent_path) or O(parent) saves only
        the changes since then, and the process stands still for a shorter time.
      - In O(store), it is a checkpoint of its own, which no restore takes.
    type: bool
    default: false
  parent_path:
    description:
      - Images of a pre-dump of this process, in the same parent folder. A restore needs them as well.
      - Needs O(images_path).
    type: path
  parent:
    description:
      - The pre-dump in O(store) that the checkpoint is to be built on, its ID or V(latest), the newest one. One that is
        itself built on another, and was made with O(leave_running), will do as well.
      - It has to be the last one of this process, since changes of memory are tracked from there.
      - The manifest names it. A restore needs it, so M(criu.hosts.checkpoint_retention) keeps it as long as there is a
        checkpoint that is built on it.
      - Its images, and those that it is built on, are compared with their manifests before the dump.
      - Needs O(store).
    type: str
  signing_key:
    description:
      - Absolute path on the host of a private key of OpenSSH, by which C(ssh-keygen) signs the manifest of the
        checkpoint, and so every file of it. The key has no passphrase. Or the path of a public key, whose private key
        an agent holds that the task reaches (C(SSH_AUTH_SOCK)).
      - A checkpoint without a signature counts as none while the process runs. One of a process that has ended may come
        from elsewhere, and is not signed.
      - The role P(criu.hosts.checkpoint_host#role) lets a host restore only what certain keys have signed, with all
        that it is built on.
      - Needs O(store).
    type: path
seealso:
  - module: criu.hosts.denial_info
    description: Explains denials by SELinux and AppArmor.
  - module: criu.hosts.process_restore
  - name: criu(8)
    description: The command that the module runs.
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

- name: Keep a checkpoint of every hour in a store, of a service that runs on
  criu.hosts.process_checkpoint:
    unit: worker.service
    store: /var/lib/checkpoints/store
    why: hourly
    leave_running: true
    max_age: 55m

- name: Save most of the memory of a service to the store while it runs, and sign it
  criu.hosts.process_checkpoint:
    unit: worker.service
    store: /var/lib/checkpoints/store
    signing_key: /etc/criu-hosts/sign
    pre_dump: true

- name: Save the rest to the store, and end the service
  criu.hosts.process_checkpoint:
    unit: worker.service
    store: /var/lib/checkpoints/store
    signing_key: /etc/criu-hosts/sign
    parent: latest

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
      description: Id of the process; null if there is neither a process nor a record of it.
      type: int
      sample: 1426
    comm:
      description: Name of the process.
      type: str
      sample: python3
    start_ticks:
      description: Start time in clock ticks since the boot. Together with the pid it identifies the process.
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
      description: Path of the images; null in check mode if they would be made in a store.
      type: str
      sample: /var/lib/checkpoints/worker
    store:
      description: The store; null without one.
      type: str
      sample: /var/lib/checkpoints/store
    checkpoint_id:
      description: ID of the checkpoint in the store; null without one, and in check mode if it would be made.
      type: str
      sample: 20261130T164500Z-1a2b3c4d
    record_path:
      description: Path of the record; null in check mode if it would be made in a store.
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
    parent:
      description: ID of the checkpoint in the store that this one is built on; null if there is none.
      type: str
      sample: null
    parent_path:
      description: The parent images that these images need; null if they are complete.
      type: str
      sample: /var/lib/checkpoints/worker.1
    unit:
      description: The service; null if there is none.
      type: str
      sample: worker.service
    checkpointed_at:
      description: When the checkpoint was made, in UTC; null in check mode and if there is no record.
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
      description: Time to collect the memory.
      type: int
      sample: 91364
    memory_write_microseconds:
      description: Time to write the memory.
      type: int
      sample: 56160
    scanned_pages:
      description: Pages of memory that were scanned.
      type: int
      sample: 912
    skipped_pages:
      description: Pages that the parent images already hold.
      type: int
      sample: 0
    written_pages:
      description: Pages of memory that were written.
      type: int
      sample: 823
commands:
  description: Argument lists of the commands that change the host. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[/usr/sbin/criu, dump, --tree, "1426"]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(process_missing) if the process does not run.
    - V(process_refused) if it is the system's first process, a kernel thread, an ancestor of the task, or a process
      that this user may not read.
    - V(pid_file_invalid) if O(pid_file) holds no process id, or belongs to another user and names a process that is not
      that user's.
    - V(unit_missing) if systemd does not know the service.
    - V(systemd_missing) if systemd does not run on the host.
    - V(unit_has_more) if processes of the service do not descend from its main process, so they would be lost.
    - V(unit_invalid) if O(unit) is not the name of a service.
    - V(external_invalid) if a value in O(external) does not have the syntax of CRIU.
    - V(root_needed) if O(unit) is set and the task does not run as root.
    - V(parent_invalid) if O(parent_path) or O(parent) is not the last pre-dump of the process.
    - V(parent_changed) if the parent images are missing or have changed.
    - V(images_mismatch) if the images to replace may be the only copy of a process, or are of a different program.
    - V(images_partial) if an interrupted checkpoint is in the way, which may be the only copy of a process.
    - V(restore_unclear) if a restore from the images was cut off and a process may be what it restored; see RV(pid).
    - V(unit_running) if a restore from the images was cut off and its service is still starting; see RV(pid).
    - V(label_changed) if a restore from the images was cut off and the process has a different label.
    - V(busy) if a different task has worked on the images, the service or the process for a minute.
    - V(option_invalid) if O(max_age) is no duration, O(why) is not one line, O(name) is missing or cannot be a name in
      a store, or an option needs or excludes O(store); see RV(option).
    - V(store_unsafe) if others can change O(store), or which folder it names.
    - V(store_unreadable) if the store cannot be read.
    - V(checkpoint_missing) if the store does not have O(parent).
    - V(checkpoint_damaged) if O(parent), or one that it is built on, is missing or not what its manifest says, or if
      the record of the images is gone when the manifest is to be made.
    - V(signing_failed) if O(signing_key) cannot sign, which is tried before the dump, or if the current checkpoint has
      no signature and the process has ended, so that nothing proves that it was made here.
    - V(images_path_unsafe) if others can change the folder, or which folder the path names.
    - V(images_invalid) if the folder holds damaged images, a record or note that cannot be used, or anything else than
      images.
    - V(criu_missing) if CRIU is not installed.
    - V(criu_too_old) if CRIU is too old to have configuration files.
    - V(criu_without_selinux) if CRIU is not linked with libselinux, so the labels would be lost.
    - V(criu_not_permitted) if this user may not run CRIU, or CRIU has no capabilities for a user other than root.
    - V(policy_missing) if SELinux has refused the checkpoint.
    - V(apparmor_denied) if AppArmor has refused the checkpoint, or a part of it.
    - V(tcp_established_needed) if there are established TCP connections and O(tcp_established) is not set.
    - V(file_locks_needed) if the processes hold file locks and O(file_locks) is not set.
    - V(shell_job_needed) if the session of the process belongs to a process outside, as with a job of a shell, and
      O(shell_job) is not set.
    - V(pipe_outside) if the other end of a pipe is in a process that is not checkpointed; see RV(pid).
    - V(socket_outside) if a Unix socket is connected to one without a name in a process that is not checkpointed, so no
      restore can connect it again; see RV(pid).
    - V(socket_activated) if a socket unit that is active triggers O(unit), since systemd keeps the socket.
    - V(external_needed) if a Unix socket leads out of the processes and is not in O(external).
    - V(ghost_limit) if the process uses a deleted file that is larger than CRIU's limit for such files.
    - V(link_remap_needed) if the process uses a deleted file that has a different name still.
    - V(inotify_handle) if the process watches a file (inotify, fanotify) whose path CRIU cannot find.
    - V(io_uring) if the process uses io_uring, which CRIU cannot save.
    - V(apparmor_profile_name) if the name of an AppArmor profile of the process has a blank; CRIU saves its first word
      only.
    - V(apparmor_profile_stacked) if the process has several AppArmor profiles at once (a stack), which the kernel does
      not let it take again.
    - V(sysv_memory) if the process uses System V shared memory outside of an IPC namespace of its own.
    - V(message_queue) if there are POSIX message queues in its C(/dev/mqueue).
    - V(mount_unsupported) if CRIU cannot save, or restore, one of its mounts.
    - V(mount_namespace) if the process has a mount namespace of its own, such as by C(PrivateTmp) in its unit.
    - V(device_open) if the process has a device, or a file of the kernel, open that CRIU cannot save.
    - V(process_traced) if CRIU cannot trace one of its processes, as when a debugger has it.
    - V(session_outside) if the leader of its session is outside of its pid namespace.
    - V(limits_unreadable) if root lacks C(CAP_SYS_RESOURCE) on this host.
    - V(label_unreadable) if CRIU takes the label of a different security module for one of SELinux.
    - V(config_broken) if CRIU refuses its options, as with a wrong word in one of its configuration files.
    - V(timed_out) if the command took longer than its limit, see the guide on checkpoints; the process runs on.
    - V(memory_tracking_missing) if the kernel cannot track changes of memory.
    - V(network_lock_missing) if CRIU cannot lock the network.
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: process_missing
option:
  description: The option that cannot be used.
  returned: failure with reason option_invalid
  type: str
  sample: max_age
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /var/lib/checkpoints/worker
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
  sample: [/usr/sbin/criu, dump, --tree, "1426"]
rc:
  description: Exit status of that command.
  returned: failure of a command
  type: int
  sample: 1
stdout:
  description: Standard output of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: ""
stderr:
  description: Standard error of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: ""
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
    - The denials by SELinux or AppArmor since the task began that matter. Empty if there are none or the log cannot be
      read.
    - Entries are as in RV(criu.hosts.denial_info#module:denials).
  returned: failure of CRIU
  type: list
  elements: dict
  sample: []
silent_denials:
  description:
    - The refusals by SELinux or AppArmor that CRIU's log shows, whether or not they were logged as denials.
    - Entries are as in RV(criu.hosts.denial_info#module:silent_denials).
  returned: failure of CRIU
  type: list
  elements: dict
  sample: []
pid:
  description: Id of the process that is in the way; null if it cannot be seen.
  returned: failure with reason restore_unclear, unit_running, pipe_outside or socket_outside
  type: int
  sample: 1426
labels:
  description:
    - The comparison of labels.
    - Entries are as in RV(criu.hosts.process_restore#module:labels).
  returned: failure with reason label_changed
  type: list
  elements: dict
  sample: []
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
process_state:
  description: State of the process after the failure.
  returned: failure of CRIU
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

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._process.checkpoint import checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._process.options import PLACES, SHARED_SPEC
from ansible_collections.criu.hosts.plugins.module_utils._process.remove import remove

SPEC: dict[str, Any] = {
    **SHARED_SPEC,
    "pid": {"type": "int"},
    "pid_file": {"type": "path"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "why": {"type": "str"},
    "max_age": {"type": "str"},
    "when": {"type": "str", "choices": ["changed", "always"], "default": "changed"},
    "leave_running": {"type": "bool", "default": False},
    "pre_dump": {"type": "bool", "default": False},
    "parent_path": {"type": "path"},
    "parent": {"type": "str"},
    "signing_key": {"type": "path"},
}


def run(ctx: Context) -> Outcome:
    act = checkpoint if ctx.params["state"] == "present" else remove
    return act(ctx)


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        mutually_exclusive=[("pid", "pid_file", "unit"), PLACES],
        required_one_of=[PLACES],
        required_by={option: ["store"] for option in ("name", "why", "parent", "signing_key")},
        required_if=[("state", "present", ("pid", "pid_file", "unit"), True)],
    )


if __name__ == "__main__":
    main()
