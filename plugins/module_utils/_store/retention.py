# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Decides which checkpoints of a store stay. Pure: the caller reads the store and the clock, and removes the others.

The keep rules are those of restic: each counts alone, and a checkpoint stays if one of them selects it. The limits
(age, bytes) then remove of these. Nothing removes a checkpoint that is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable, Iterable, Mapping, Sequence

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Rules:
    """The options of the task: numbers of checkpoints, seconds, bytes. Zero or None is a rule that is not set."""

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    max_age: int | None = None
    max_bytes: int | None = None
    max_total_bytes: int | None = None

    @property
    def counts(self) -> bool:
        return any((self.keep_last, self.keep_hourly, self.keep_daily, self.keep_weekly, self.keep_monthly))


@dataclass(frozen=True)
class Known:
    """A checkpoint as the rules see it. ``made``: seconds since 1970. ``parent``: an id, or empty.

    ``fault``: why it cannot be restored, empty if nothing is known. ``used``: who needs it, empty for nobody.
    ``pre_dump``: it is a pre-checkpoint, from which nothing is restored alone.
    """

    kind: str
    name: str
    id: str
    made: float
    size_bytes: int = 0
    fault: str = ""
    parent: str = ""
    pinned: bool = False
    used: str = ""
    pre_dump: bool = False

    @property
    def key(self) -> Key:
        return (self.kind, self.name, self.id)

    @property
    def parent_key(self) -> Key | None:
        return (self.kind, self.name, self.parent) if self.parent else None


@dataclass(frozen=True)
class Verdict:
    """What happens to a checkpoint, and each reason in words."""

    of: Known
    keep: bool
    why: tuple[str, ...]


@dataclass
class _Work:
    """What is known so far: why each checkpoint is needed, selected by a rule, or given up by a limit."""

    needed: dict[Key, list[str]] = field(default_factory=dict)
    selected: dict[Key, list[str]] = field(default_factory=dict)
    given_up: dict[Key, str] = field(default_factory=dict)

    def need(self, one: Known, why: str) -> None:
        self.needed.setdefault(one.key, []).append(why)

    def select(self, one: Known, why: str) -> None:
        self.selected.setdefault(one.key, []).append(why)

    def give_up(self, key: Key, why: str) -> None:
        self.selected.pop(key, None)
        self.given_up[key] = why


def _week(made: datetime) -> str:
    year, week, dummy = made.isocalendar()
    return f"{year}-W{week:02d}"


PERIODS: Mapping[str, Callable[[datetime], str]] = {
    "keep_hourly": lambda made: made.strftime("%Y-%m-%dT%H"),
    "keep_daily": lambda made: made.strftime("%Y-%m-%d"),
    "keep_weekly": _week,
    "keep_monthly": lambda made: made.strftime("%Y-%m"),
}


def newest_first(found: Iterable[Known]) -> list[Known]:
    """Returns the checkpoints by kind and name, each newest first: ids have the right order after any clock."""
    ordered = sorted(found, key=lambda one: one.id, reverse=True)
    return sorted(ordered, key=lambda one: (one.kind, one.name))


def plan_retention(found: Iterable[Known], rules: Rules, now: float) -> list[Verdict]:
    """Returns a verdict on each checkpoint, by kind and name, newest first."""
    all_of_them = newest_first(found)
    work = _Work()
    groups: dict[tuple[str, str], list[Known]] = {}
    for one in all_of_them:
        groups.setdefault((one.kind, one.name), []).append(one)
    for group in groups.values():
        sound = _sound(group)
        whole = [one for one in sound if not one.pre_dump]
        _find_needed(work, group, sound, whole, rules, now)
        _select(work, [one for one in whole if one.made <= now], rules)
        _select_pre_dumps(work, sound, rules)
        _give_up_old(work, sound, rules, now)
    for group in groups.values():
        _give_up_bytes(work, group, rules.max_bytes, "max_bytes")
    _give_up_bytes(work, all_of_them, rules.max_total_bytes, "max_total_bytes")
    kept = _with_parents(all_of_them, {*work.needed, *work.selected})
    return [_verdict(work, one, kept) for one in all_of_them]


def _sound(group: Sequence[Known]) -> list[Known]:
    """Returns those with which nothing is wrong, nor with any that they are built on."""
    by_id = {one.id: one for one in group}

    def is_sound(one: Known) -> bool:
        seen: set[str] = set()
        current: Known | None = one
        while current is not None and not current.fault and current.id not in seen:
            if not current.parent:
                return True
            seen.add(current.id)
            current = by_id.get(current.parent)
        return False

    return [one for one in group if is_sound(one)]


def _find_needed(
    work: _Work, group: Sequence[Known], sound: Sequence[Known], whole: Sequence[Known], rules: Rules, now: float
) -> None:
    """Finds what no rule may remove."""
    sound_ids = {one.id for one in sound}
    for one in group:
        if one.pinned:
            work.need(one, "it is pinned")
        if one.used:
            work.need(one, one.used)
        if one.made > now:
            work.need(one, "its time is in the future, so its age is not known")
        if one.id in sound_ids:
            continue
        if not whole:
            work.need(one, f"none of {one.name!r} is whole")
        elif rules.max_age is not None and now - one.made > rules.max_age:
            work.give_up(one.key, "it cannot be restored, and is older than max_age")
        else:
            work.need(one, f"it cannot be restored ({one.fault or 'its parent is missing or damaged'}), look at it")
    # A clock that was wrong may have made the first of these: then the second is the last state.
    for newest in {one.key: one for one in (*whole[:1], *[one for one in whole if one.made <= now][:1])}.values():
        work.need(newest, f"it is the newest whole one of {newest.name!r}")


def _select(work: _Work, whole: Sequence[Known], rules: Rules) -> None:
    """Selects by the keep rules; all, if none is set."""
    for number, one in enumerate(whole, 1):
        if not rules.counts:
            work.select(one, "no keep rule is set")
        elif number <= rules.keep_last:
            work.select(one, f"keep_last: {number} of {rules.keep_last}")
    for rule, period_of in PERIODS.items():
        periods: dict[str, Known] = {}
        for one in whole:
            periods.setdefault(period_of(datetime.fromtimestamp(one.made, timezone.utc)), one)
        wanted: int = getattr(rules, rule)
        for period, one in list(periods.items())[:wanted]:
            work.select(one, f"{rule}: newest of {period}")


def _select_pre_dumps(work: _Work, sound: Sequence[Known], rules: Rules) -> None:
    """Selects the newest one if it is a pre-dump, on which the next checkpoint may be built; all, if no rule is set.

    Others stay only with a checkpoint that is built on them.
    """
    for number, one in enumerate(sound):
        if one.pre_dump and number == 0:
            work.select(one, "the next checkpoint may be built on it")
        elif one.pre_dump and not rules.counts:
            work.select(one, "no keep rule is set")
        elif one.pre_dump:
            work.give_up(one.key, "it is a pre-dump, and nothing that stays is built on it")


def _give_up_old(work: _Work, sound: Sequence[Known], rules: Rules, now: float) -> None:
    for one in sound:
        if rules.max_age is not None and now - one.made > rules.max_age:
            work.give_up(one.key, "it is older than max_age")


def _with_parents(group: Iterable[Known], keys: Iterable[Key]) -> dict[Key, str]:
    """Returns these checkpoints and all that they are built on, each with the id of a child that needs it, or empty."""
    parents = {one.key: one.parent_key for one in group}
    kept = dict.fromkeys(keys, "")
    waiting = list(kept)
    while waiting:
        key = waiting.pop()
        parent = parents.get(key)
        if parent in parents and parent is not None:
            if parent not in kept:
                waiting.append(parent)
            kept[parent] = kept.get(parent) or key[2]
    return kept


def _give_up_bytes(work: _Work, group: Sequence[Known], limit: int | None, rule: str) -> None:
    """Gives up the oldest that nothing needs, until the rest has at most ``limit`` bytes or is needed."""
    if limit is None:
        return
    by_key = {one.key: one for one in group}
    kept = set(_with_parents(group, [key for key in (*work.needed, *work.selected) if key in by_key]))
    children: dict[Key, int] = {}
    for key in kept:
        parent = by_key[key].parent_key
        if parent is not None:
            children[parent] = children.get(parent, 0) + 1
    total = sum(by_key[key].size_bytes for key in kept)
    # One that only a child needed goes first, as soon as that is gone.
    waiting = sorted(kept - set(work.needed), key=lambda key: (key in work.selected, by_key[key].made, key[2]))
    while total > limit:
        victim = next((key for key in waiting if not children.get(key)), None)
        if victim is None:
            return
        waiting.remove(victim)
        total -= by_key[victim].size_bytes
        work.give_up(victim, f"{rule} leaves no room for it")
        parent = by_key[victim].parent_key
        if parent is not None:
            children[parent] -= 1


def _verdict(work: _Work, one: Known, kept: Mapping[Key, str]) -> Verdict:
    why = [*work.needed.get(one.key, ()), *work.selected.get(one.key, ())]
    if kept.get(one.key):
        why.append(f"{kept[one.key]} is built on it")
    if one.key in kept:
        return Verdict(one, True, tuple(why))
    why_not = "no checkpoint is built on it" if one.pre_dump else "no keep rule selects it"
    return Verdict(one, False, (work.given_up.get(one.key, why_not),))


def to_view(verdict: Verdict) -> dict[str, Any]:
    """Returns a verdict as the module returns it."""
    one = verdict.of
    return {
        "kind": one.kind,
        "name": one.name,
        "id": one.id,
        "made_at": datetime.fromtimestamp(one.made, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "size_bytes": one.size_bytes,
        "pinned": one.pinned,
        "fault": one.fault or None,
        "keep": verdict.keep,
        "why": list(verdict.why),
    }
