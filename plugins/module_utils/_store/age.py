# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Judges whether a checkpoint is young enough (max_age)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.durations import parse_duration
from ansible_collections.criu.hosts.plugins.module_utils._core.option import option_invalid

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome

_FUTURE = "of a time in the future"


@dataclass(frozen=True)
class Stale:
    """Why a checkpoint is not young enough: its state in the diff, and warnings."""

    state: str
    warnings: tuple[str, ...] = ()

    def explain(self, outcome: Outcome) -> Outcome:
        """Returns the outcome of the new checkpoint, with the state of the old one in front."""
        before = {**outcome.plan.before, "checkpoint": self.state}
        plan = replace(outcome.plan, before=before)
        return replace(outcome, plan=plan, warnings=(*self.warnings, *outcome.warnings))


def parse_max_age(text: str) -> int:
    """Returns the option max_age in seconds.

    Raises:
        CheckpointError: option_invalid.
    """
    seconds = parse_duration(text)
    if not seconds:
        raise option_invalid("max_age", text, "it is no duration above zero", "Give one such as 30m, 12h or 7d.")
    return seconds


def judge_age(made: float | None, max_age: int, now: float) -> str:
    """Returns what is wrong with the age of a checkpoint, empty if nothing is; times are seconds since 1970.

    A checkpoint of the future is not young: after a clock that was wrong, it would be so for ever.
    """
    if made is None:
        return "of an unknown age"
    if made > now:
        return _FUTURE
    return "older than max_age" if now - made > max_age else ""


def stale_of(place: str, text: str, made: float | None, max_age: int, now: float) -> Stale | None:
    """Returns why the checkpoint at ``place`` has to be made again for its age; None if it is young enough.

    ``text`` is its time as the record has it, ``made`` the same in seconds.
    """
    state = judge_age(made, max_age, now)
    if state != _FUTURE:
        return Stale(state) if state else None
    warning = (
        f"The checkpoint in {place!r} says that it was made at {text}, which is in the future, so its age is not "
        "known. This task makes it again. Check the clock of the host."
    )
    return Stale(state, (warning,))
