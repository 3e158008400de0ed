#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: restore a process from its images."""

from __future__ import annotations

DOCUMENTATION = r"""
module: process_restore
short_description: Restore a process and its descendants from a folder of images or a store
version_added: 0.1.0
description:
  - Restores a process and its descendants from their images, with their old ids. A process that was restored from the
    images and still runs is left alone.
  - There are never two copies. If the original process is still running, or one of its ids is in use, the module fails
    before it changes anything.
  - If a task was killed after the restore, the next task with the same images finds the process, compares its labels,
    and notes it.
  - Compares the SELinux label or AppArmor profile of every thread with that at the checkpoint. If one differs, the
    module ends the processes and keeps the images, see O(on_label_mismatch).
  - Where SELinux is enforcing, the module switches the boolean C(unconfined_dyntrans_all) on for the restore, and off
    again even if the restore fails. A login shell may not take a label with a different SELinux user or role; systemd
    restores such a process in a transient service named C(criu-hosts-PID).
author:
  - The criu.hosts authors (!UNKNOWN)
extends_documentation_fragment:
  - criu.hosts._attributes
  - criu.hosts._process
options:
  checkpoint:
    description:
      - Which checkpoint in O(store) to restore, V(latest) or an ID. V(latest), the default, is the newest one without a
        fault that is seen without reading the images. A warning names each damaged one that is newer. Pre-dumps do not
        count.
      - One with an image that is not the one in its manifest is refused; no other is taken in its place. The same holds
        for all that it is built on.
    type: str
  terminal:
    description:
      - Path of the terminal for a shell job, such as V(/dev/pts/3). It must not be the controlling terminal of another
        session.
      - The restore is then done in a service, named C(criu-hosts-PID) without O(unit). CRIU stays as its main process,
        since the end of the session leader would hang up the terminal.
    type: path
  on_label_mismatch:
    description:
      - How to react if the label of a thread has changed.
      - V(stop) ends the processes, keeps the images, and fails, since the processes would run in a wrong domain.
      - V(warn) leaves them running. A warning shows both labels, and RV(label_proof) is V(label_changed).
    type: str
    choices: [stop, warn]
    default: stop
seealso:
  - module: criu.hosts.denial_info
    description: Explains denials by SELinux and AppArmor.
  - module: criu.hosts.process_checkpoint
  - name: criu(8)
    description: The command that the module runs.
    link: https://criu.org/CLI
"""

EXAMPLES = r"""
- name: Restore a process with its connections
  criu.hosts.process_restore:
    images_path: /var/lib/checkpoints/worker
    tcp_established: true

- name: Restore the newest checkpoint of a service in a store
  criu.hosts.process_restore:
    unit: worker.service
    store: /var/lib/checkpoints/store

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
      description: Id of the process; null in check mode if the process has its own pid namespace.
      type: int
      sample: 1426
    comm:
      description: Name of the process; null in check mode if it is unknown.
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
    store:
      description: The store; null without one.
      type: str
      sample: /var/lib/checkpoints/store
    checkpoint_id:
      description: ID of the checkpoint in the store; null without one.
      type: str
      sample: 20261130T164500Z-1a2b3c4d
    unit:
      description: The service that the process was restored into; null if there is none.
      type: str
      sample: worker.service
    cgroup:
      description: Its cgroup; null in check mode.
      type: str
      sample: /system.slice/worker.service
labels:
  description:
    - The proof, with one entry for all threads of a process that share their labels. Empty if nothing was compared.
  returned: success, or failure with reason label_changed
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
      description:
        - Label in the images.
        - Under AppArmor the profile in the images, with the mode in the record; without a record, no mode is known.
      type: str
      sample: system_u:system_r:initrc_t:s0
    after:
      description: Label after the restore; under AppArmor the profile, with its mode if that of before is known.
      type: str
      sample: system_u:system_r:initrc_t:s0
label_proof:
  description:
    - V(enforcing) or V(permissive), the mode of SELinux, if all labels are the same as before.
    - V(apparmor) if the host has AppArmor, and each thread is in the same profile as before, in the same mode.
    - V(label_changed) if one differs and O(on_label_mismatch=warn).
    - V(selinux_disabled) if the host has neither SELinux nor AppArmor, V(not_needed) if nothing was restored, and
      V(label_unknown) if the images hold no labels, or those of a different security module.
  returned: success
  type: str
  sample: enforcing
statistics:
  description: Times and pages of this restore; empty if there was none.
  returned: success
  type: dict
  contains:
    forking_microseconds:
      description: Time to create the processes.
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
  description: Argument lists of the commands that change the host. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[/usr/sbin/criu, restore, --images-dir, /var/lib/checkpoints/worker]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(images_missing) if there are no images.
    - V(images_pre_dump) if the images are those of a pre-dump, which holds memory without processes.
    - V(process_running) if the original process, or one that was restored from a copy of the images, is running; see
      RV(pid).
    - V(restore_unclear) if an earlier restore was cut off and a process may be what it restored; see RV(pid).
    - V(pid_in_use) if a process has one of the ids in the images, or has ended and its parent has not collected its
      exit status for ten seconds; see RV(pid).
    - V(process_ended) if the process ended right after the restore.
    - V(label_changed) if a label has changed; see RV(label_before) and RV(label_after).
    - V(external_needed) if the images have a connection to a Unix socket outside of its processes.
    - V(capabilities_missing) if CRIU may not restore the capabilities that the process had.
    - V(files_changed) if a file that the process uses has changed, or is gone, since the checkpoint.
    - V(limits_unreadable) if root lacks C(CAP_SYS_RESOURCE) on this host.
    - V(mapping_refused) if the kernel does not allow one of its memory mappings.
    - V(port_in_use) if a port is taken.
    - V(tcp_established_needed) if the images have established TCP connections and O(tcp_established=false).
    - V(config_broken) if CRIU refuses its options, as with a wrong word in one of its configuration files.
    - V(timed_out) if the command took longer than its limit, see the guide on checkpoints; nothing of it is left.
    - V(unit_running) if the service is running; see RV(pid).
    - V(terminal_missing) if the process had a terminal whose other end is not in the images, and O(terminal) is
      missing.
    - V(shell_job_needed) if the session of the process is not in the images, and O(shell_job=false).
    - V(file_lock_held) if a process holds a lock that the restored process would wait for; see RV(pid).
    - V(unit_invalid) if O(unit) is not the name of a service.
    - V(systemd_missing) if systemd does not run on the host.
    - V(external_invalid) if a value in O(external) does not have the syntax of CRIU.
    - V(root_needed) if O(unit) or O(terminal) is set and the task does not run as root.
    - V(trust_refused) if the trust policy of the host does not accept the images; see RV(refusals).
    - V(trust_policy_invalid) if that policy cannot be used, or others can change it.
    - V(parent_changed) if the parent images are missing or have changed.
    - V(option_invalid) if O(name) is missing or cannot be a name in a store; see RV(option).
    - V(store_unsafe) if others can change O(store), or which folder it names.
    - V(store_unreadable) if the store cannot be read.
    - V(checkpoint_missing) if the store has no such checkpoint of the process, or only pre-dumps.
    - V(checkpoint_damaged) if the checkpoint, or one that it is built on, is missing, lacks an image, or has one that
      is not the one in its manifest; see RV(path).
    - V(images_partial) if O(store) has images without a record that an interrupted checkpoint has left, which may be
      the only copy of a process.
    - V(images_path_unsafe) if others can change the folder, or which folder the path names.
    - V(images_invalid) if the folder holds damaged images, a record or note that cannot be used, or anything else than
      images.
    - V(unit_text_invalid) if a path cannot be written into a unit of systemd.
    - V(criu_missing) if CRIU is not installed.
    - V(criu_too_old) if CRIU is too old to have configuration files.
    - V(criu_without_selinux) if CRIU is not linked with libselinux, so the labels would be lost.
    - V(criu_not_permitted) if this user may not run CRIU, or CRIU has no capabilities for a user other than root.
    - V(apparmor_profile_missing) if an AppArmor profile of the process is not loaded; see RV(profile).
    - V(policy_missing) if SELinux does not allow the restore.
    - V(apparmor_denied) if AppArmor has refused the restore, or a part of it.
    - V(network_lock_missing) if CRIU cannot lock the network.
    - V(busy) if a different task has worked on the images, the service or the SELinux boolean for a minute.
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: images_missing
profile:
  description: The AppArmor profile that is not loaded.
  returned: failure with reason apparmor_profile_missing
  type: str
  sample: /usr/sbin/worker
refusals:
  description: Every reason for which the trust policy of the host refuses the images.
  returned: failure with reason trust_refused
  type: list
  elements: dict
  contains:
    reason:
      description:
        - V(signature_missing), V(signature_invalid) or V(signer_unknown) if no signer whom the policy names has
          signed exactly this checkpoint.
        - V(trust_label) or V(trust_capability) if a process has a label or a capability that the policy does not
          list.
        - V(trust_unknown) if it cannot be found out what the checkpoint would bring to this host.
      type: str
      sample: trust_label
    message:
      description: The reason as a clause of a sentence.
      type: str
      sample: "the label 'spc_t' is not in its list of labels"
option:
  description: The option that cannot be used.
  returned: failure with reason option_invalid
  type: str
  sample: name
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /var/lib/checkpoints/worker
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [/usr/sbin/criu, restore, --images-dir, /var/lib/checkpoints/worker]
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
  sample: /var/lib/checkpoints/.worker.criu/restore.log
log_tail:
  description: The last errors of CRIU's log, at most 20.
  returned: failure of CRIU
  type: list
  elements: str
  sample: ["pie: 1169: Error (criu/pie/restorer.c:196): can't write lsm profile -13"]
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
  description: Id of the process that blocks the restore; null if it cannot be seen.
  returned: failure with reason process_running, pid_in_use, restore_unclear, unit_running or file_lock_held
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
from ansible_collections.criu.hosts.plugins.module_utils._process.options import PLACES, SHARED_SPEC
from ansible_collections.criu.hosts.plugins.module_utils._process.restore import restore

SPEC: dict[str, Any] = {
    **SHARED_SPEC,
    "checkpoint": {"type": "str"},
    "terminal": {"type": "path"},
    "on_label_mismatch": {"type": "str", "choices": ["stop", "warn"], "default": "stop"},
}


def run(ctx: Context) -> Outcome:
    return restore(ctx)


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        mutually_exclusive=[PLACES],
        required_one_of=[PLACES],
        required_by={"name": ["store"], "checkpoint": ["store"]},
    )


if __name__ == "__main__":
    main()
