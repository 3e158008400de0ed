#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: report the denials by SELinux and AppArmor, with causes and fixes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: denial_info
short_description: Report the denials by SELinux and AppArmor, with their causes, their effects and their fixes
version_added: 0.1.0
description:
  - Reads the denials of a host and groups them. For each group it returns the cause, whether a checkpoint or restore
    fails because of it, and the task of this collection that fixes it.
  - The text of a denial by SELinux is the same for a missing rule and for a constraint on user, role or categories. To
    distinguish them, the module asks the loaded policy through the kernel's C(/sys/fs/selinux/access), with one part of
    a label changed at a time. It needs no tool for this, and changes nothing.
  - A denial by AppArmor is explained by its own record, with the line that the profile lacks.
  - Refusals that are not logged are recognized in the logs of CRIU, see O(criu_logs).
  - An unknown denial is returned unchanged, with an unreviewed candidate rule. The module never loads a rule.
  - A log of any size is read in constant memory.
author:
  - The criu.hosts authors (!UNKNOWN)
extends_documentation_fragment:
  - criu.hosts._attributes.info
options:
  source:
    description:
      - The source of the denials. V(audit) is the log of auditd with its rotated files, V(journal) the journal, and
        V(kernel) the ring buffer of the kernel.
      - V(auto) uses the log of auditd if it was written since the boot, otherwise the journal if there is one, and
        otherwise the ring buffer.
    type: str
    choices: [auto, audit, journal, kernel]
    default: auto
  since:
    description:
      - Start of the time range. V(boot), a duration such as V(15m), V(2h) or V(3d), seconds since 1970, or a time such
        as V(2026-11-22T21:38:08Z). A time without a zone is UTC.
    type: str
  checkpoint_path:
    description:
      - Report only denials since this checkpoint was made. Give an archive of M(criu.hosts.container_checkpoint) with
        its record beside it, the record itself, or a folder of images with a record in it.
    type: path
  audit_path:
    description:
      - The log of auditd.
      - Saved output of C(journalctl) (with a time in each line), C(dmesg) or C(ausearch), also with C(--interpret), is
        read as well. Times without a zone are local, and dates with slashes begin with the month.
    type: path
    default: /var/log/audit/audit.log
  criu_logs:
    description:
      - Logs of CRIU (C(dump.log), C(restore.log)) to search for refusals that were not logged. On a host with AppArmor
        they also confirm that CRIU, and not the program in the process, was refused something.
      - A missing log is skipped. RV(logs) lists those that were read.
    type: list
    elements: path
    default: []
requirements:
  - journalctl with C(--grep), for O(source=journal) only (Debian and Red Hat family, package systemd)
notes:
  - Needs root for most logs, and to ask the policy.
  - From the journal only the newest 100000 denials are read, as a command prints them. Beyond 500 kinds, denials of
    further kinds are only counted, in RV(left_out).
  - Where SELinux is disabled there is no policy to ask. Then the verdict of each denial by SELinux is V(not_asked), and
    the rest works.
  - The name of the module was C(selinux_denial_info) in 0.1.0.
seealso:
  - module: criu.hosts.container_restore
  - module: criu.hosts.selinux_boolean
  - name: ausearch(8)
    description: Searches the log of auditd for records of any kind.
    link: https://man7.org/linux/man-pages/man8/ausearch.8.html
"""

EXAMPLES = r"""
- name: Report the denials since the boot
  criu.hosts.denial_info:
    since: boot
  register: denied

- name: Show the denials that matter
  ansible.builtin.debug:
    msg: "{{ item.cause }} {{ item.remedy.advice }}"
  loop: "{{ denied.denials | selectattr('matters', 'equalto', 'yes') | list }}"
  loop_control:
    label: "{{ item.command }} {{ item.permissions | join(' ') }}"

- name: Report the denials since a checkpoint, including those that were not logged
  criu.hosts.denial_info:
    checkpoint_path: /var/lib/checkpoints/web.tar.zst
    criu_logs: [/var/lib/containers/storage/overlay-containers/91f0/userdata/restore.log]
"""

RETURN = r"""
source:
  description: The source of the denials, V(audit), V(journal) or V(kernel).
  returned: success
  type: str
  sample: audit
files:
  description: The files that were read, oldest first; empty for the journal.
  returned: success
  type: list
  elements: str
  sample: [/var/log/audit/audit.log.1, /var/log/audit/audit.log]
since:
  description: Start of the time range, in UTC; V(null) for all denials.
  returned: success
  type: str
  sample: "2026-11-22T21:38:08.000Z"
selinux_mode:
  description: Current mode of SELinux, V(enforcing), V(permissive) or V(disabled).
  returned: success
  type: str
  sample: enforcing
apparmor:
  description: Whether AppArmor is on.
  returned: success
  type: bool
  sample: false
policy_asked:
  description: Whether a loaded policy was asked.
  returned: success
  type: bool
  sample: true
records:
  description: Number of denials.
  returned: success
  type: int
  sample: 12
left_out:
  description: Number of denials of kinds beyond the 500th.
  returned: success
  type: int
  sample: 0
unread:
  description: Number of lines that seem to hold a denial and are in no form that the module reads.
  returned: success
  type: int
  sample: 0
unread_example:
  description: The first of these lines, at most its first 1000 characters; empty if there is none.
  returned: success
  type: str
  sample: ""
denials:
  description:
    - One entry for each kind of denial. Those that matter come first, and among these the latest.
    - A container that asks for the socket of an engine comes before all others.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Stable name of a kind of denial that the collection knows; V(null) for an unknown kind.
      type: str
      sample: dyntransition_unconfined
    lsm:
      description: Who refused, V(selinux) or V(apparmor).
      type: str
      sample: selinux
    kind:
      description:
        - V(avc) for a denial by the kernel, V(user_avc) by a program such as systemd, and V(selinux_err) for an
          operation that no rule can allow.
      type: str
      sample: avc
    count:
      description: How often it was logged.
      type: int
      sample: 4
    first:
      description: Time of the first record, in UTC.
      type: str
      sample: "2026-11-22T21:54:16.390Z"
    last:
      description: Time of the last record, in UTC.
      type: str
      sample: "2026-11-22T21:54:34.322Z"
    permissive:
      description:
        - Whether it was only logged and not refused (SELinux permissive, or a profile of AppArmor in complain mode);
          V(null) if the kernel does not log this.
      type: bool
      sample: false
    permissions:
      description: The permissions that were refused; for AppArmor the letters or words of the record's C(denied_mask).
      type: list
      elements: str
      sample: [dyntransition]
    source:
      description: Source label in the last record, a context of SELinux or a profile of AppArmor.
      type: str
      sample: unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023
    target:
      description: Target label in the last record; for AppArmor the profile of the peer, empty if there is none.
      type: str
      sample: system_u:system_r:initrc_t:s0
    class:
      description: Class of the object.
      type: str
      sample: process
    command:
      description: Command name of the process.
      type: str
      sample: thr
    operation:
      description: The operation of a denial by AppArmor or of V(selinux_err), such as V(open); otherwise empty.
      type: str
      sample: ""
    object:
      description: The object in the words of the record, such as its path; the operation for V(selinux_err).
      type: str
      sample: ""
    verdict:
      description:
        - V(rule_missing), V(constraint_identity) (SELinux user or role differ), V(constraint_level) (categories or
          levels differ), V(bounded) (the new label is not bounded by the old), V(context_unknown) (the loaded
          policy does not know a label), V(allowed_now) (the policy allows it now) or V(not_asked).
        - For AppArmor V(rule_missing), V(bounded) (C(no_new_privs), or a stack of profiles), V(profile_missing) (the
          profile is not loaded) or V(path_disconnected) (the file is outside of the process's root).
      type: str
      sample: rule_missing
    cause:
      description: The cause of the denial as text.
      type: str
      sample: A root shell may not give a restored process the label that it had.
    matters:
      description:
        - V(yes) (a checkpoint or restore fails, a container loses something, or asks for what it should not), V(no),
          V(unknown), or V(unrelated) (it concerns neither CRIU, a container nor an engine).
      type: str
      sample: "yes"
    remedy:
      description:
        - C(advice) as text, and C(task), a task for a play; V(null) if no task can do it. In the task, replace C(NAME)
          with the name of the container, and the variable C(path_of_criu_artifact) with the path of the artifact for
          P(criu.hosts.criu#role).
      type: dict
      sample:
        advice: >-
          Restore with process_restore, which switches the boolean 'unconfined_dyntrans_all' on for the restore, and
          lets systemd restore the process where its SELinux user or role is not that of a login shell.
        task:
          name: Restore the process
          criu.hosts.process_restore: {"images_path": /var/lib/checkpoints/NAME}
          become: true
    candidate_rule:
      description: For an unknown denial, the refused access as a rule in CIL or in a profile. It is not reviewed.
      type: str
      sample: |-
        ; unreviewed
        (allow user_t self (process (execmem)))
    recorded:
      description: The recordings of a known denial, in the collection's tests or in public.
      type: list
      elements: str
      sample: [debian13-process-boolean-off.txt]
    example:
      description: The last record as it was logged.
      type: str
      sample: "type=AVC msg=audit(1795384465.426:189): avc:  denied  { dyntransition } for  pid=1234 comm=\"thr\""
logs:
  description: The logs of CRIU that were read.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/containers/storage/overlay-containers/91f0/userdata/restore.log]
silent_denials:
  description: The errors in CRIU's logs that SELinux or AppArmor causes, one entry for each kind and log.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Stable name of the kind of error; V(unknown) if the log shows no more than a refusal.
      type: str
      sample: seccomp
    lsm:
      description: Whose refusals the log was searched for, V(selinux) or V(apparmor).
      type: str
      sample: selinux
    path:
      description: The log.
      type: str
      sample: /var/lib/containers/storage/overlay-containers/91f0/userdata/restore.log
    line:
      description: The error as CRIU wrote it.
      type: str
      sample: "pie: 1: Error (criu/pie/restorer.c:546): seccomp: SECCOMP_SET_MODE_FILTER returned -13 on tid 1"
    label:
      description: The label that CRIU was giving to the process; V(null) if the log does not have it.
      type: str
      sample: system_u:system_r:container_t:s0:c441,c720
    permission:
      description: Class and permission that were refused, or the operation for AppArmor.
      type: str
      sample: capability sys_admin
    logged:
      description: Whether a denial of this permission is among RV(denials).
      type: bool
      sample: false
    why_silent:
      description:
        - V(not_logged_by_kernel) (the kernel never logs it), V(dontaudit) (the policy silences it), V(not_found) (it
          should be in a log, so try a different time range or source) or V(selinux_disabled) (this host has no SELinux,
          which therefore did not refuse it); V(null) if it is logged.
      type: str
      sample: not_logged_by_kernel
    verdict:
      description: As for a denial, for the label in the log.
      type: str
      sample: rule_missing
    cause:
      description: The cause of the error as text.
      type: str
      sample: The restored process may not install its seccomp filter again.
    remedy:
      description: As for a denial.
      type: dict
      sample: {"advice": Load the policy of the collection., "task": null}
commands:
  description: Always empty.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(since_invalid) if O(since) is not a time.
    - V(record_invalid) if there is no record of a checkpoint at O(checkpoint_path).
    - V(log_unreadable) if a log cannot be read.
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: log_unreadable
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [journalctl, --output=json]
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
"""

import time
from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._denials import report
from ansible_collections.criu.hosts.plugins.module_utils._denials.since import read_since, unreadable

SPEC: dict[str, Any] = {
    "source": {"type": "str", "choices": ["auto", "audit", "journal", "kernel"], "default": "auto"},
    "since": {"type": "str"},
    "checkpoint_path": {"type": "path"},
    "audit_path": {"type": "path", "default": "/var/log/audit/audit.log"},
    "criu_logs": {"type": "list", "elements": "path", "default": []},
}


def run(ctx: Context) -> Outcome:
    """Reads and groups the denials, asks the policy, and explains them."""
    host = report.Host(ctx.paths)
    params = ctx.params
    since = read_since(params["since"], params["checkpoint_path"], now=time.time(), boot=host.boot)
    wanted = {key: params[key] for key in ("source", "audit_path", "criu_logs")}
    try:
        found = report.look(host, ctx.runner, since=since, **wanted)
    except OSError as error:
        raise unreadable(error) from error
    warnings = report.unread_warnings(found)
    return Outcome("denials", found.pop("denials"), facts=found, warnings=warnings)


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        mutually_exclusive=[("since", "checkpoint_path")],
    )


if __name__ == "__main__":
    main()
