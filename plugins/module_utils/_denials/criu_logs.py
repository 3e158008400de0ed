# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Recognizes in CRIU's own log the refusals by SELinux that are not logged as denials.

The kernel checks some capabilities without logging, and a policy can silence any denial (dontaudit). CRIU then fails
with EACCES or EPERM, and the log of denials is empty. The failed operation shows which permission was refused; the
loaded policy shows whether it is granted, and whether its denial would have been logged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._criu.log import (
    BEFORE,
    LABEL_BOUNDED,
    LABEL_REFUSED,
    LABEL_UNKNOWN,
    LINE_LENGTH,
    RESTORER_REFUSED,
    SECCOMP_REFUSED,
    words_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials import remedies as remedy
from ansible_collections.criu.hosts.plugins.module_utils._denials import verdict as policy
from ansible_collections.criu.hosts.plugins.module_utils._denials.explain import settle
from ansible_collections.criu.hosts.plugins.module_utils._denials.kinds import CONTAINER
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import SELINUX
from ansible_collections.criu.hosts.plugins.module_utils._denials.remedies import Remedy
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import type_of
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy

# CRIU logs the label before it sets it. The refused process had that label already, or was requesting it.
# A profile of AppArmor is written as a command.
_LABEL = re.compile(BEFORE + r"restoring lsm profile \(current\) (?:changeprofile )?(\S{1,400})\Z")
_DENIED = re.compile(r"(?:Permission denied|Operation not permitted|returned -13\b.*|profile -(?:13|1))\Z")
# CRIU's own lines have at most a page.
LINE_LIMIT = 4096


@dataclass(frozen=True)
class Sign:
    """An error of CRIU that SELinux causes. ``pattern`` is the beginning of what CRIU says.

    ``refused`` is a class and one of its permissions.

    ``asker``: label (the restored process requests it under its own label), caller (CRIU's domain does), or empty.
    ``logged``: whether the kernel logs this refusal, unless the policy silences it.
    ``without_policy``: whether it happens on a host that has SELinux disabled, too.
    """

    id: str
    pattern: str
    refused: str
    cause: str
    remedy: Remedy
    recorded: str
    asker: str = ""
    logged: bool = True
    without_policy: bool = False

    @property
    def tclass(self) -> str:
        return self.refused.partition(" ")[0]

    @property
    def permission(self) -> str:
        return self.refused.partition(" ")[2]


SIGNS: tuple[Sign, ...] = (
    Sign(
        "seccomp",
        SECCOMP_REFUSED,
        "capability sys_admin",
        "The restored process may not install its seccomp filter again: it has its label by then, and the kernel asks "
        "for the capability sys_admin without logging.",
        remedy.RESTORE_CONTAINER,
        "4.2.1-restore-seccomp-refused.txt",
        asker="label",
        logged=False,
    ),
    Sign(
        "label_refused",
        LABEL_REFUSED,
        "process dyntransition",
        "The restored process may not take its label again.",
        remedy.RESTORE_PROCESS,
        "4.2.1-restore-process-boolean-off.txt",
        asker="caller",
    ),
    Sign(
        "label_bounded",
        LABEL_BOUNDED,
        "process dyntransition",
        "The restored process had several threads when it was to take its label. The kernel allows that for a bounded "
        "label only.",
        remedy.NEWER_CRIU,
        "",
        logged=False,
    ),
    Sign(
        "label_unknown",
        LABEL_UNKNOWN,
        "process setcurrent",
        "The loaded policy does not know the label that the process had.",
        remedy.TARGET_POLICY,
        "",
        logged=False,
    ),
    Sign(
        "restorer_mapping",
        RESTORER_REFUSED,
        "process execmem",
        "CRIU may not map its restorer writable and executable.",
        remedy.RESTORE_CONTAINER,
        "4.2.1-restore-boolean-off.txt",
        asker="caller",
    ),
    Sign(
        "parasite_socket",
        r"Unable to connect a transport socket: Permission denied",
        "unix_stream_socket connectto",
        "CRIU is not linked with libselinux: its socket has CRIU's own label, and the container may not connect to it.",
        remedy.CRIU,
        "4.1.1-dump-refused.txt",
    ),
    Sign(
        "huge_pages",
        r"Unexpected result when get hugetlb dev: Permission denied",
        "file map",
        "CRIU may not map huge pages, which it does to find out what the kernel can do.",
        remedy.POLICY,
        "4.2.1-restore-no-policy-unit.txt",
    ),
    Sign(
        "output_lost",
        r"Can't lookup mount=\d+ for fd=\d path=/null\Z",
        "fifo_file write",
        "SELinux cut the container off from its output when it started: the conmon of a root shell has all categories, "
        "so its pipes became /null, which is outside the container.",
        remedy.POLICY_AND_RECREATE,
        "4.2.1-dump-no-policy-shell.txt",
    ),
    Sign(
        "thread_ids",
        r"Unable to create a thread: -1\b",
        "capability2 checkpoint_restore",
        "The restored process may not set the ids of its threads.",
        remedy.RESTORE_CONTAINER,
        "",
        asker="label",
    ),
    Sign(
        "mapping_refused",
        # -EACCES of mmap: the file was open by then.
        r"Can't restore 0x[0-9a-f]{1,16} mapping with 0xf{15}3\b",
        "file map",
        "The kernel refused to map a file into the restored process again, with EACCES. SELinux refuses that if the "
        "process could map the file where it was dumped, and may not here.",
        remedy.MAPPING,
        "public-openj9-19511.txt",
    ),
    Sign(
        "no_policy",
        r"Invalid selinux context kernel\b",
        "",
        "SELinux is on in the kernel, and no policy was loaded: each process has the label 'kernel', which CRIU cannot "
        "save.",
        remedy.LOAD_A_POLICY,
        "public-criu-1402.txt",
        logged=False,
        without_policy=True,
    ),
    Sign(
        "capabilities",
        r"Unable to restore capabilities: -1\b",
        "capability setpcap",
        "The restored process may not set its capabilities again: either SELinux refuses setpcap to its label, or it "
        "does not have this capability, as in a container without it.",
        remedy.CAPABILITY,
        "public-criu-684.txt",
        asker="label",
    ),
    Sign(
        "log_label",
        r"Message reply from daemon is trimmed \(\d+/0\)",
        "file append",
        "The parasite in the container died. SELinux does not let it write to a log that log-file has moved.",
        remedy.LOG_FILE,
        "public-2735-log-file.txt",
    ),
)
UNKNOWN = Sign(
    "unknown",
    "",
    "",
    "CRIU was refused something, and it is not known whether SELinux did it. If no denial of that time is logged, a "
    "dontaudit rule may hide it: `semodule -DB` shows them until `semodule -B`.",
    remedy.NOT_KNOWN,
    "",
)


@dataclass(frozen=True)
class Finding:
    """A line of a log that matches a sign, and the last label that CRIU logged before it."""

    sign: Sign
    path: str
    line: str
    label: str = ""


def read_signs(
    lines: Iterable[str], path: str, signs: tuple[Sign, ...] = SIGNS, other: Sign = UNKNOWN
) -> list[Finding]:
    """Returns the first line for each sign in a log of CRIU, or an unknown refusal (``other``) if there is no sign."""
    found: dict[str, Finding] = {}
    label, unknown = "", ""
    for line in lines:
        if "restoring lsm profile" in line:
            match = _LABEL.match(line.strip())
            label = match.group(1) if match else label
        said = words_of(line[:LINE_LIMIT]) if "Error" in line else ""
        if not said:
            continue
        sign = next((sign for sign in signs if re.match(sign.pattern, said)), None)
        if sign is not None:
            found.setdefault(sign.id, Finding(sign, path, line.strip()[:LINE_LENGTH], label))
        elif not unknown and _DENIED.search(said):
            unknown = line.strip()[:LINE_LENGTH]
    if not found and unknown:
        return [Finding(other, path, unknown, label)]
    return list(found.values())


def _denial_of(finding: Finding, denials: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Returns the logged denial that belongs to the sign, if there is one."""
    sign = finding.sign
    fitting = (one for one in denials if sign.tclass == one["class"] and sign.permission in one["permissions"])
    return next((one for one in fitting if finding.label in ("", one["target"])), None)


def _remedy(finding: Finding) -> Remedy:
    """Returns the remedy of the sign; for a container, that of a container instead of a process."""
    if finding.sign.remedy is remedy.RESTORE_PROCESS and type_of(finding.label) in CONTAINER:
        return remedy.RESTORE_CONTAINER
    return finding.sign.remedy


def _verdict(finding: Finding, loaded: LoadedPolicy) -> tuple[str, bool | None]:
    """Returns the policy's verdict on the permission, and whether a denial is logged (None if that is unknown)."""
    sign = finding.sign
    if sign.asker != "label" or not finding.label:
        return policy.NOT_ASKED, None
    decision = loaded.decide(finding.label, finding.label, sign.tclass)
    word = policy.judge(loaded, finding.label, finding.label, sign.tclass, (sign.permission,))
    return word, None if decision is None else sign.permission in decision.audited


# The words of a cause on a host without SELinux.
DISABLED = (
    "SELinux did not cause this error: it is disabled on this host. If the log is from another host, or from a time "
    "when SELinux was on, run this task there."
)


def explain_logs(
    findings: list[Finding], denials: list[dict[str, Any]], loaded: LoadedPolicy, *, without_selinux: bool = False
) -> list[dict[str, Any]]:
    """Returns the findings in the module's form. ``why_silent``: why no denial is logged; None if one is.

    ``without_selinux``: the host has no SELinux, which therefore has refused nothing.
    """
    entries = []
    for finding in findings:
        sign = finding.sign
        disabled = without_selinux and not sign.without_policy
        denial = None if disabled else _denial_of(finding, denials)
        verdict, audited = _verdict(finding, loaded)
        help_ = settle(verdict, _remedy(finding), loaded).view()
        why: str | None = None
        if denial is None:
            why = "not_found" if sign.logged else "not_logged_by_kernel"
            why = "dontaudit" if audited is False else why
        if disabled:
            why, help_ = "selinux_disabled", remedy.NO_SELINUX.view()
        entries.append(
            {
                "id": sign.id,
                "lsm": SELINUX,
                "path": finding.path,
                "line": finding.line,
                "label": finding.label or None,
                "permission": sign.refused or None,
                "logged": denial is not None,
                "why_silent": why,
                "verdict": denial["verdict"] if denial else verdict,
                "cause": DISABLED if disabled else sign.cause,
                "remedy": denial["remedy"] if denial else help_,
            }
        )
    return entries
