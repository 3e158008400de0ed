#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what SELinux refused, why, and what helps."""

from __future__ import annotations

DOCUMENTATION = r"""
module: selinux_denial_info
short_description: Tell what SELinux refused, why, whether it matters, and what helps
version_added: 0.1.0
description:
  - Reads the denials of a host, groups them, and says for each kind why it was refused, whether checkpoint or restore
    fails for it, and which task of this collection helps.
  - The text of a denial is the same whether a rule is missing or a constraint on user, role or categories refuses. The
    module asks the loaded policy, through the kernel's C(/sys/fs/selinux/access), with one part of a label changed at
    a time. It needs no tool for that, and changes nothing.
  - What SELinux refuses without logging it is recognised from the logs of CRIU, with O(criu_logs).
  - A denial that the collection does not know is returned as it is, with a candidate rule that nobody has reviewed.
    No rule is ever loaded.
  - A log of any size is read in constant memory.
author:
  - The criu.hosts authors (!UNKNOWN)
extends_documentation_fragment:
  - criu.hosts._attributes.info
options:
  source:
    description:
      - Where to look. V(audit) is the log of auditd with the rotated ones beside it, V(journal) the journal, V(kernel)
        the ring of the kernel's messages.
      - V(auto) takes the log of auditd if it was written since the boot, else the journal if there is one, else the
        ring.
    type: str
    choices: [auto, audit, journal, kernel]
    default: auto
  since:
    description:
      - Only denials from then on. V(boot), a span such as V(15m), V(2h) or V(3d), seconds since 1970, or a time such as
        V(2026-11-22T21:38:08Z), which is UTC if it does not tell its zone.
    type: str
  checkpoint_path:
    description:
      - Only denials since this checkpoint was made. An archive of M(criu.hosts.container_checkpoint), which has its
        record beside it, a record itself, or a folder of images with a record in it.
    type: path
  audit_path:
    description: The log of auditd.
    type: path
    default: /var/log/audit/audit.log
  criu_logs:
    description:
      - Logs of CRIU (C(dump.log), C(restore.log)) to look through for what SELinux refused without a word.
      - One that is not there is left out. RV(logs) names those that were read.
    type: list
    elements: path
    default: []
requirements:
  - journalctl with C(--grep), for V(journal) only (Debian and RedHat family, package systemd)
notes:
  - Needs root for most logs, and for the question to the policy.
  - Of the journal the newest 100000 denials are read, as they come through a command. Of 500 kinds and more, the
    further ones are only counted, in RV(left_out).
  - Where SELinux is disabled there is no policy to ask; every verdict is V(not_asked) then, and the rest works.
  - Further reasons are V(since_invalid) (no time), V(record_invalid) (no record of a checkpoint at
    O(checkpoint_path)), and V(log_unreadable) (a log cannot be read).
seealso:
  - module: criu.hosts.container_restore
  - module: criu.hosts.selinux_boolean
  - name: ausearch(8)
    description: Searches the log of auditd for records of any kind.
    link: https://man7.org/linux/man-pages/man8/ausearch.8.html
"""

EXAMPLES = r"""
- name: See what SELinux has refused since the boot
  criu.hosts.selinux_denial_info:
    since: boot
  register: denied

- name: Show what matters
  ansible.builtin.debug:
    msg: "{{ item.cause }} {{ item.remedy.advice }}"
  loop: "{{ denied.denials | selectattr('matters', 'equalto', 'yes') | list }}"
  loop_control:
    label: "{{ item.command }} {{ item.permissions | join(' ') }}"

- name: See what a restore was refused since its checkpoint, also what was not logged
  criu.hosts.selinux_denial_info:
    checkpoint_path: /var/lib/checkpoints/web.tar.zst
    criu_logs: [/var/lib/containers/storage/overlay-containers/91f0/userdata/restore.log]
"""

RETURN = r"""
source:
  description: Where it was read from, V(audit), V(journal) or V(kernel).
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
  description: From when on, in UTC; V(null) for all.
  returned: success
  type: str
  sample: "2026-11-22T21:38:08.000Z"
selinux_mode:
  description: Mode of SELinux now, V(enforcing), V(permissive) or V(disabled).
  returned: success
  type: str
  sample: enforcing
policy_asked:
  description: Whether there is a loaded policy that was asked.
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
denials:
  description: One entry for each kind of denial, those that matter first, and of these the latest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Stable word for a kind of denial that the collection knows; V(null) if it does not know it.
      type: str
      sample: dyntransition_unconfined
    kind:
      description:
        - V(avc) for a denial by the kernel, V(user_avc) by a program such as systemd, V(selinux_err) for what no
          rule can allow.
      type: str
      sample: avc
    count:
      description: How often it was logged.
      type: int
      sample: 4
    first:
      description: When it was logged first, in UTC.
      type: str
      sample: "2026-11-22T21:54:16.390Z"
    last:
      description: When it was logged last, in UTC.
      type: str
      sample: "2026-11-22T21:54:34.322Z"
    permissive:
      description: Whether it was only logged and not refused; V(null) if the kernel does not tell.
      type: bool
      sample: false
    permissions:
      description: What was refused.
      type: list
      elements: str
      sample: [dyntransition]
    source:
      description: Label that asked, in the last one.
      type: str
      sample: unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023
    target:
      description: Label that was asked for, in the last one.
      type: str
      sample: system_u:system_r:initrc_t:s0
    class:
      description: Class of the object.
      type: str
      sample: process
    command:
      description: The command that asked.
      type: str
      sample: thr
    object:
      description: What is told of the object, such as its path; the operation for V(selinux_err).
      type: str
      sample: ""
    verdict:
      description:
        - V(rule_missing), V(constraint_identity) (SELinux user or role differ), V(constraint_level) (categories or
          levels differ), V(bounded) (the new label is not bounded by the old), V(context_unknown) (the loaded
          policy does not know a label), V(allowed_now) (it is allowed by now) or V(not_asked).
      type: str
      sample: rule_missing
    cause:
      description: Why it was refused, for people.
      type: str
      sample: A root shell may not give a restored process the label that it had.
    matters:
      description:
        - V(yes) (checkpoint or restore fails, or a container loses something), V(no), V(unknown), or V(unrelated)
          (neither CRIU, a container nor its engine has to do with it).
      type: str
      sample: "yes"
    remedy:
      description:
        - C(advice), for people, and C(task), a task for a play; V(null) where none can do it. C(NAME) in it stands
          for the name of the container, C(/root/criu.tar.gz) for the artifact of P(criu.hosts.criu#role).
      type: dict
      sample:
        advice: >-
          Restore with process_restore, which switches the boolean 'unconfined_dyntrans_all' on for the restore, and
          lets systemd restore where the SELinux user or role is not that of a login shell.
        task:
          name: Restore the process
          criu.hosts.process_restore: {"images_path": /var/lib/checkpoints/NAME}
          become: true
    candidate_rule:
      description: For an unknown denial, what was refused as a rule in CIL. Nobody has reviewed it.
      type: str
      sample: |-
        ; unreviewed
        (allow user_t self (process (execmem)))
    recorded:
      description: Where a known denial was recorded, in the collection's tests or in public.
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
  description: The errors in logs of CRIU that SELinux causes, one entry for each kind and log.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Stable word for the kind of error; V(unknown) if only a refusal is told.
      type: str
      sample: seccomp
    path:
      description: The log.
      type: str
      sample: /var/lib/containers/storage/overlay-containers/91f0/userdata/restore.log
    line:
      description: The error as CRIU wrote it.
      type: str
      sample: "pie: 1: Error (criu/pie/restorer.c:546): seccomp: SECCOMP_SET_MODE_FILTER returned -13 on tid 1"
    label:
      description: The label that CRIU was giving to the process; V(null) if it does not tell.
      type: str
      sample: system_u:system_r:container_t:s0:c441,c720
    permission:
      description: Class and permission that were refused.
      type: str
      sample: capability sys_admin
    logged:
      description: Whether a denial of this permission is among RV(denials).
      type: bool
      sample: false
    why_silent:
      description:
        - V(not_logged_by_kernel) (the kernel never logs it), V(dontaudit) (the policy silences it), V(not_found)
          (it should be in a log; look at another time or source), V(null) if it is logged.
      type: str
      sample: not_logged_by_kernel
    verdict:
      description: As for a denial, for the label that CRIU told.
      type: str
      sample: rule_missing
    cause:
      description: Why CRIU failed, for people.
      type: str
      sample: The restored process may not put its seccomp filter back.
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
"""

import time
from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._denials import report as look
from ansible_collections.criu.hosts.plugins.module_utils._denials.since import read_since, unreadable

SPEC: dict[str, Any] = {
    "source": {"type": "str", "choices": ["auto", "audit", "journal", "kernel"], "default": "auto"},
    "since": {"type": "str"},
    "checkpoint_path": {"type": "path"},
    "audit_path": {"type": "path", "default": "/var/log/audit/audit.log"},
    "criu_logs": {"type": "list", "elements": "path", "default": []},
}


def run(ctx: Context) -> Outcome:
    """Read, group, ask the policy, explain."""
    host = look.Host(ctx.paths)
    params = ctx.params
    since = read_since(params["since"], params["checkpoint_path"], now=time.time(), boot=host.boot)
    wanted = {key: params[key] for key in ("source", "audit_path", "criu_logs")}
    try:
        found = look.look(host, ctx.runner, since=since, **wanted)
    except OSError as error:
        raise unreadable(error) from error
    return Outcome("denials", found.pop("denials"), facts=found)


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        mutually_exclusive=[("since", "checkpoint_path")],
    )


if __name__ == "__main__":
    main()
