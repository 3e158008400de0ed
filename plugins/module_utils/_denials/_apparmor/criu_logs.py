# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Recognizes in CRIU's own log the refusals by AppArmor, and finds the denial that belongs to each.

The kernel logs what AppArmor refuses, unless a rule of the profile begins with deny. CRIU's log confirms that CRIU did
it, and not the program in the process.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._criu.log import (
    LABEL_BOUNDED,
    LABEL_REFUSED,
    LABEL_UNKNOWN,
    PROFILE_MISSING,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials import verdict as policy
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor import known
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor import remedies as remedy
from ansible_collections.criu.hosts.plugins.module_utils._denials.criu_logs import Finding, Sign
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import APPARMOR
from ansible_collections.criu.hosts.plugins.module_utils._denials.remedies import NOT_KNOWN, Remedy

_LOAD = Remedy(
    "Load the profile before the restore: apparmor_parser --replace with its file, or, for a profile that an engine "
    "makes, the engine's own way; its name has the version of the engine."
)
_ALLOW_CHANGE = Remedy(
    "Start CRIU unconfined. If CRIU is to run under a profile, add `change_profile -> NAME,` to that, with the name of "
    "the profile that the process had."
)
_READABLE = Remedy("Use a newer CRIU, which reads attr/apparmor/current.")

# The names are those of the denials that belong to the errors.
SIGNS: tuple[Sign, ...] = (
    Sign(
        known.PROFILE_MISSING,
        PROFILE_MISSING,
        "change_profile",
        "The AppArmor profile that the restored process had is not loaded.",
        _LOAD,
        "public-podman-12437.txt",
    ),
    Sign(
        known.PROFILE_REFUSED,
        LABEL_REFUSED,
        "change_profile",
        "CRIU runs under an AppArmor profile that does not let the restored process change to the profile that it had.",
        _ALLOW_CHANGE,
        "",
    ),
    Sign(
        known.NO_NEW_PRIVILEGES,
        LABEL_BOUNDED,
        "change_profile",
        "The restored process has no_new_privs, or runs under a profile already, so it may not take the AppArmor "
        "profile that it had.",
        remedy.NEW_PRIVILEGES,
        "",
    ),
    Sign(
        "profile_not_taken",
        LABEL_UNKNOWN,
        "change_profile",
        "The kernel did not take the AppArmor profile that the restored process had (EINVAL). It is not known why.",
        NOT_KNOWN,
        "",
        logged=False,
    ),
    Sign(
        known.PARASITE_PROC,
        r"can't get /proc fd\b",
        "file r",
        "CRIU's parasite, the code that runs inside a process while it is dumped, may not open /proc.",
        remedy.LINES_OF_CRIU,
        "4.2.1-dump-profile-without-proc.txt",
    ),
    Sign(
        known.PARASITE_CGROUP,
        r"can't get /proc/\S{1,60}cgroup fd\b",
        "file r",
        "CRIU's parasite, the code that runs inside a process while it is dumped, may not read the control group of "
        "the thread.",
        remedy.LINES_OF_CRIU,
        "",
    ),
    Sign(
        known.PARASITE_SOCKET,
        r"Unable to connect a transport socket: Permission denied",
        "unix seqpacket",
        "CRIU's parasite, the code that runs inside a process while it is dumped, may not talk to CRIU.",
        remedy.LINES_OF_CRIU,
        "public-criu-552.txt",
    ),
    Sign(
        "profile_unreadable",
        r"err scanfing: Invalid argument",
        "",
        "CRIU reads the AppArmor profile of the process in attr/current, which belongs to a different security module "
        "(BPF) on this kernel.",
        _READABLE,
        "public-criu-2033.txt",
        logged=False,
    ),
)
UNKNOWN = Sign(
    "unknown",
    "",
    "",
    "CRIU was refused something, and it is not known whether AppArmor did it. If no denial of that time is logged, a "
    "rule of the profile may begin with deny: those are not logged, unless they begin with audit deny.",
    NOT_KNOWN,
    "",
)
# A connection needs a socket, which is refused first.
_BELONGING = {known.PARASITE_SOCKET: (known.PARASITE_SOCKET, known.PARASITE_CREATE)}


def _denial_of(finding: Finding, denials: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Returns the logged denial that belongs to the sign, if there is one."""
    wanted = _BELONGING.get(finding.sign.id, (finding.sign.id,))
    refused = (one for one in denials if one["lsm"] == APPARMOR and not one["permissive"])
    return next((one for one in refused if one["id"] in wanted), None)


def _remedy(finding: Finding) -> Remedy:
    """Returns the remedy of the sign, with the name of the profile if the log has it."""
    if finding.sign.id == known.PROFILE_MISSING and finding.label:
        return remedy.load_profile(finding.label)
    return finding.sign.remedy


def explain_profile_logs(findings: list[Finding], denials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the findings in the module's form. A denial that belongs to one matters: CRIU says so."""
    entries = []
    for finding in findings:
        sign = finding.sign
        denial = _denial_of(finding, denials)
        why: str | None = "not_found" if sign.logged else "not_logged_by_kernel"
        if denial is not None:
            denial["matters"], why = "yes", None
        entries.append(
            {
                "id": sign.id,
                "lsm": APPARMOR,
                "path": finding.path,
                "line": finding.line,
                "label": finding.label or None,
                "permission": sign.refused or None,
                "logged": denial is not None,
                "why_silent": why,
                "verdict": denial["verdict"] if denial else policy.NOT_ASKED,
                "cause": sign.cause,
                "remedy": denial["remedy"] if denial else _remedy(finding).view(),
            }
        )
    return entries
