# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Adds the denials since a task began to its failure."""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.context import STARTED
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause


def read_denials(log: dict[str, Any]) -> dict[str, Any]:
    """``denials`` and ``silent_denials`` since the task began, explained as selinux_denial_info does."""
    # A task that succeeds need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._denials.report import look_back

    found = look_back(STARTED, [log["log_path"]] if log["log_path"] else [])
    return {"denials": found["denials"], "silent_denials": found["silent_denials"]}


def denied_cause(cause: Cause, denials: list[dict[str, Any]]) -> Cause:
    """``cause``, with what SELinux refused if nothing better is known."""
    refused = [one for one in denials if one["matters"] == "yes" and one["permissive"] is False]
    if cause.reason != "tool_failed" or not refused:
        return cause
    told = refused[0]
    why = f"{cause.why}; SELinux refused it: {told['cause'].rstrip('.')}"
    return Cause(why, told["remedy"]["advice"], reason="policy_missing")
