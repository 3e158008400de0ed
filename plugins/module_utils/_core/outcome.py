# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Holds the result of a module before it is printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan


@dataclass(frozen=True)
class Outcome:
    """The result of a module.

    Args:
        noun: the key under which ``value`` is returned.
        value: the state as read after the work (as predicted, in check mode).
        plan: what was, or would be, done.
        facts: further documented return values.
        warnings: only what the user can act on.
    """

    noun: str
    value: Any
    plan: Plan = Plan()
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def result_of(outcome: Outcome, *, diff: bool) -> dict[str, Any]:
    """Returns the keys of the module's result."""
    result: dict[str, Any] = {
        "changed": outcome.plan.changed,
        outcome.noun: outcome.value,
        "commands": outcome.plan.commands,
    }
    result.update(outcome.facts)
    if diff:
        result["diff"] = {"before": outcome.plan.before, "after": outcome.plan.after}
    return result
