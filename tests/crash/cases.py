# SPDX-License-Identifier: GPL-3.0-or-later
"""List the cases of a plan, and choose a sample of them. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Iterable, Sequence

SIGNALS = ("TERM", "HUP", "INT", "QUIT", "KILL")
ERRORS = ("ENOSPC", "EIO")
SECOND = ("same", "opposite")
# What happens to the file system of a store: it cannot be written to any more, or is not there any more.
AWAY = ("read-only", "gone")
# Kinds of steps that change files, that wait for the disk, and that take long enough to be disturbed in the middle.
WRITING = ("MakeDir", "WriteFile", "Rename", "Link", "Remove", "Unpack", "Together")
SYNCING = ("WriteFile", "Rename")
LONG = ("Command", "Wait", "Check")


@dataclass(frozen=True)
class Case:
    """One disturbance: ``what`` happens ``when`` at which ``step`` (its number, from 1) of a plan.

    when: before, during (half its time), inside (at its first fsync), after; for a failing write: first (its first
    change of a file fails), sync (only fsync fails). ``important``: each sample contains it.
    """

    plan: str
    step: int
    when: str
    what: str
    important: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.plan}:{self.step}:{self.when}:{self.what}"


def parse_case(name: str) -> Case:
    """Return the case of a name, as a report prints it."""
    plan, step, when, what = name.split(":")
    return Case(plan, int(step), when, what)


def cases_of(plan: str, kinds: Sequence[str], *, full_disk: bool = False, store: str = "") -> list[Case]:
    """Return all cases of a plan whose steps are of these kinds (the first words of their texts).

    ``store``: when the file system of a store is taken away, "before" each step, or "during" a command as well.
    """
    found: list[Case] = []
    for number, kind in enumerate(kinds, 1):
        more = ("during",) if kind in LONG else ("inside",) if kind in SYNCING else ()
        found += [Case(plan, number, when, what) for when in ("before", *more, "after") for what in SIGNALS]
        if kind in WRITING:
            found += [Case(plan, number, when, what) for when in ("first", "sync") for what in ERRORS]
        found += [Case(plan, number, when, what) for when in ("before", "after") for what in SECOND]
        if store:
            found += [Case(plan, number, "before", what) for what in AWAY]
            found += [Case(plan, number, when, "gone") for when in more if when == store]
    found = [replace(case, important=_is_important(case, kinds)) for case in found]
    if full_disk:
        found.append(Case(plan, 0, "during", "full disk", important=True))
    return found


def _is_important(case: Case, kinds: Sequence[str]) -> bool:
    """Return whether the dump or the restore is stopped just before it begins, or killed in its middle."""
    if "Command" not in kinds:
        return case.step == 1 and (case.when, case.what) in (("before", "TERM"), ("after", "KILL"))
    main = kinds.index("Command") + 1
    return case.step == main and (case.when, case.what) in (("before", "TERM"), ("during", "KILL"))


def sample(cases: Iterable[Case], size: int, seed: int) -> list[Case]:
    """Return ``size`` cases, the same for the same seed: the important ones, and an equal share of each plan."""
    chosen = [case for case in cases if case.important]
    rest: dict[str, list[Case]] = {}
    for case in cases:
        if not case.important:
            rest.setdefault(case.plan, []).append(case)
    order = random.Random(seed)
    for left in rest.values():
        order.shuffle(left)
    while len(chosen) < size and any(rest.values()):
        for left in rest.values():
            if left and len(chosen) < size:
                chosen.append(left.pop())
    return chosen
