# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Explains denials by AppArmor. The kernel's record says why, so no policy is asked."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import shown
from ansible_collections.criu.hosts.plugins.module_utils._denials import remedies as general
from ansible_collections.criu.hosts.plugins.module_utils._denials import verdict as policy
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor import remedies as remedy
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.kinds import related, wanted_profile
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.known import find_profile
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.rules import render_rule
from ansible_collections.criu.hosts.plugins.module_utils._denials.explanation import Explanation
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import Record

_NO_RULE = "The profile has no rule that allows it."
_COMPLAIN = "The profile is in complain mode: this was logged and not refused."


def _named(record: Record) -> dict[str, str]:
    return {
        "profile": shown(record.source),
        "peer": shown(record.target),
        "command": shown(record.comm),
        "name": shown(wanted_profile(record)),
        "signal": shown(record.fields.get("signal", "")),
    }


def candidate_line(record: Record) -> str | None:
    """Renders the denial as a line of a profile, for a person to judge; None if its words cannot be in one."""
    line = render_rule(record)
    return f"# unreviewed\n{line}" if line else None


def explain_profile(record: Record) -> Explanation:
    """Explains a denial by AppArmor."""
    known = find_profile(record)
    told = [_COMPLAIN] if record.permissive else []
    if known is None:
        info = record.fields.get("info", "")
        said = f"The kernel says {shown(info)}." if info else _NO_RULE
        rule = candidate_line(record) if not info.startswith("Failed name lookup") else None
        matters = "unknown" if related(record) else "unrelated"
        help_ = remedy.REVIEW if rule else general.NOT_KNOWN
        return Explanation(None, policy.RULE_MISSING, " ".join([said, *told]), matters, help_, rule)
    matters = known.matters if not known.otherwise or related(record) else known.otherwise
    cause = " ".join([known.cause.format(**_named(record)), *told])
    return Explanation(known.id, known.verdict, cause, matters, known.remedy(record), None, known.recorded)
