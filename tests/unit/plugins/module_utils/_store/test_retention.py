# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests which checkpoints the rules keep: tables with a clock of their own, and random stores."""

from __future__ import annotations

import random
from calendar import timegm
from dataclasses import replace
from time import strptime
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._store.retention import (
    Known,
    Rules,
    Verdict,
    plan_retention,
    to_view,
)

HOUR, DAY = 3600, 86400
# A Monday.
NOW = float(timegm(strptime("2026-11-30T16:45:00Z", "%Y-%m-%dT%H:%M:%SZ")))


def known(made: float, name: str = "web", **changes: Any) -> Known:
    return replace(Known("container", name, f"{name}-at-{made:.0f}", made, 100), **changes)


def hourly(hours: int, **changes: Any) -> list[Known]:
    """Returns one checkpoint for each of the last hours, the newest of them a minute old."""
    return [known(NOW - 60 - number * HOUR, **changes) for number in range(hours)]


def ages(verdicts: list[Verdict], keep: bool = True) -> list[int]:
    """Returns the age of those that are kept, or removed, in hours."""
    return [round((NOW - 60 - one.of.made) / HOUR) for one in verdicts if one.keep is keep]


def why(verdicts: list[Verdict], index: int) -> tuple[str, ...]:
    return verdicts[index].why


TABLE = [
    pytest.param(Rules(), 50, list(range(50)), id="no-rule-removes-nothing"),
    pytest.param(Rules(keep_last=3), 50, [0, 1, 2], id="last"),
    pytest.param(Rules(keep_hourly=4), 50, [0, 1, 2, 3], id="hourly"),
    # 16:44 is the newest of Monday, 23:44 of Sunday and of Saturday.
    pytest.param(Rules(keep_daily=3), 60, [0, 17, 41], id="daily"),
    pytest.param(Rules(keep_weekly=2), 24 * 20, [0, 17], id="weekly"),
    pytest.param(Rules(keep_monthly=2), 24 * 40, [0, 30 * 24 - 7], id="monthly"),
    pytest.param(Rules(keep_last=2, keep_daily=2), 60, [0, 1, 17], id="each-rule-counts-alone"),
    pytest.param(Rules(keep_daily=10), 30, [0, 17], id="fewer-days-than-the-rule"),
    pytest.param(Rules(max_age=2 * HOUR), 50, [0, 1], id="age-alone"),
    pytest.param(Rules(keep_last=5, max_age=2 * HOUR), 50, [0, 1], id="age-removes-of-what-a-rule-keeps"),
    pytest.param(Rules(max_age=10), 50, [0], id="age-never-removes-the-last-one"),
    pytest.param(Rules(max_bytes=250), 50, [0, 1], id="bytes"),
    pytest.param(Rules(max_bytes=1), 50, [0], id="bytes-never-remove-the-last-one"),
    pytest.param(Rules(keep_daily=3, max_bytes=200), 60, [0, 17], id="bytes-of-what-a-rule-keeps"),
]


@pytest.mark.parametrize(("rules", "hours", "kept"), TABLE)
def test_the_rules(rules: Rules, hours: int, kept: list[int]) -> None:
    assert ages(plan_retention(hourly(hours), rules, NOW)) == kept


def test_an_hour_without_a_checkpoint_is_not_counted() -> None:
    found = [known(NOW - 60), known(NOW - 60 - 7 * HOUR), known(NOW - 60 - 9 * HOUR)]
    assert ages(plan_retention(found, Rules(keep_hourly=2), NOW)) == [0, 7]


def test_total_bytes_are_those_of_all_containers_and_the_oldest_go_first() -> None:
    found = [*hourly(3), *hourly(3, name="db", id=""), known(NOW - 5 * DAY, "old")]
    found = [replace(one, id=f"{one.name}-{9 - number}") for number, one in enumerate(found)]
    verdicts = plan_retention(found, Rules(max_total_bytes=500), NOW)
    assert [(one.of.name, one.keep) for one in verdicts] == [
        *(("db", True), ("db", True), ("db", False)),
        # It is the oldest, and the only one of its name.
        ("old", True),
        *(("web", True), ("web", True), ("web", False)),
    ]
    assert why(verdicts, 2) == ("max_total_bytes leaves no room for it",)


def test_the_reasons_are_sentences() -> None:
    found = hourly(3)
    found[1] = replace(found[1], pinned=True)
    verdicts = plan_retention(found, Rules(keep_last=1, keep_daily=1), NOW)
    assert why(verdicts, 0) == (
        "it is the newest whole one of 'web'",
        "keep_last: 1 of 1",
        "keep_daily: newest of 2026-11-30",
    )
    assert why(verdicts, 1) == ("it is pinned",)
    assert why(verdicts, 2) == ("no keep rule selects it",)
    assert to_view(verdicts[1]) == {
        "kind": "container",
        "name": "web",
        "id": found[1].id,
        "made_at": "2026-11-30T15:44:00Z",
        "size_bytes": 100,
        "pinned": True,
        "fault": None,
        "keep": True,
        "why": ["it is pinned"],
    }


def test_one_in_use_stays() -> None:
    found = [*hourly(3), known(NOW - DAY, used="container 'web' is stopped in it")]
    verdicts = plan_retention(found, Rules(keep_last=1, max_age=60, max_bytes=1, max_total_bytes=1), NOW)
    assert ages(verdicts) == [0, 24]
    assert why(verdicts, 3) == ("container 'web' is stopped in it",)


def chain(count: int) -> list[Known]:
    """Returns pre-dumps, newest first, each built on the next."""
    found = hourly(count)
    return [replace(one, parent=other.id) for one, other in zip(found, found[1:])] + found[-1:]


def test_what_a_kept_one_is_built_on_stays() -> None:
    found = [*chain(3), known(NOW - DAY), known(NOW - 2 * DAY)]
    verdicts = plan_retention(found, Rules(keep_last=1, max_age=60 + HOUR // 2, max_bytes=1), NOW)
    assert ages(verdicts) == [0, 1, 2]
    assert why(verdicts, 1) == (f"{found[0].id} is built on it",)


def chains(count: int) -> list[Known]:
    """Returns checkpoints, newest first, each made on a pre-checkpoint a second before it."""
    found = []
    for one in hourly(count):
        pre = known(one.made - 1, pre_dump=True)
        found += [replace(one, parent=pre.id), pre]
    return found


def test_pre_checkpoints_take_no_place_and_go_with_their_checkpoints() -> None:
    verdicts = plan_retention(chains(4), Rules(keep_last=2), NOW)
    assert [one.keep for one in verdicts] == [True, True, True, True, False, False, False, False]
    assert why(verdicts, 3) == (f"{verdicts[2].of.id} is built on it",)
    assert why(verdicts, 5) == ("it is a pre-dump, and nothing that stays is built on it",)


@pytest.mark.parametrize(
    ("rules", "keep", "reason"),
    [
        pytest.param(Rules(keep_last=1), True, "the next checkpoint may be built on it", id="it-may-be-used-yet"),
        pytest.param(Rules(), True, "the next checkpoint may be built on it", id="no-rule"),
        pytest.param(Rules(keep_last=1, max_age=30), False, "it is older than max_age", id="too-old"),
    ],
)
def test_the_newest_pre_checkpoint(rules: Rules, keep: bool, reason: str) -> None:
    newest = known(NOW - 40, pre_dump=True)
    verdicts = plan_retention([newest, *chains(2)], rules, NOW)
    assert (verdicts[0].keep, why(verdicts, 0)) == (keep, (reason,))
    # It is no checkpoint: the last one stays.
    assert verdicts[1].keep and verdicts[2].keep


def test_a_pre_checkpoint_that_no_checkpoint_was_made_on() -> None:
    """A newer checkpoint is there: nothing is made on the old one any more."""
    found = [*hourly(2), known(NOW - 2 * DAY, pre_dump=True)]
    verdicts = plan_retention(found, Rules(keep_last=5), NOW)
    assert [one.keep for one in verdicts] == [True, True, False]
    found[2] = replace(found[2], pinned=True)
    assert all(one.keep for one in plan_retention(found, Rules(keep_last=5), NOW))


def test_a_parent_goes_with_its_last_child() -> None:
    newest = known(NOW - 10)
    verdicts = plan_retention([newest, *chain(3)], Rules(keep_last=2, max_bytes=350), NOW)
    assert [one.keep for one in verdicts] == [True, False, False, False], "the whole chain, or nothing of it"


def test_a_parent_that_nothing_needs_any_more_makes_room_first() -> None:
    """The child and its parent are 300 bytes; the older one fits when both are gone."""
    child = known(NOW - 2 * DAY, parent="base", size_bytes=200)
    base = known(NOW - HOUR, id="base")
    found = [known(NOW - 60), base, child, known(NOW - DAY, id="own")]
    verdicts = plan_retention(found, Rules(keep_last=1, keep_daily=3, max_bytes=200), NOW)
    assert [one.of.id for one in verdicts if one.keep] == [found[0].id, "own"]


@pytest.mark.parametrize(
    "newest",
    [
        pytest.param({"fault": "its part 'archive.tar' is missing"}, id="damaged"),
        pytest.param({"parent": "gone"}, id="without-its-parent"),
        pytest.param({"parent": f"web-at-{NOW - 60:.0f}"}, id="its-own-parent"),
    ],
)
def test_the_last_whole_one_stays_and_one_that_is_not_whole_takes_no_place(newest: dict[str, Any]) -> None:
    found = hourly(4)
    found[0] = replace(found[0], **newest)
    verdicts = plan_retention(found, Rules(keep_last=1), NOW)
    assert ages(verdicts) == [0, 1]
    assert why(verdicts, 0)[0].startswith("it cannot be restored (")
    assert why(verdicts, 1) == ("it is the newest whole one of 'web'", "keep_last: 1 of 1")
    # Its own time comes with max_age, but not before.
    old = plan_retention(found, Rules(max_age=30), NOW)
    assert ages(old) == [1] and why(old, 0) == ("it cannot be restored, and is older than max_age",)


def test_nothing_is_removed_while_none_is_whole() -> None:
    found = hourly(4, fault="it has no manifest.json")
    verdicts = plan_retention(found, Rules(keep_last=1, max_age=30, max_bytes=1, max_total_bytes=1), NOW)
    assert ages(verdicts, keep=False) == []
    assert why(verdicts, 3) == ("none of 'web' is whole",)


def test_one_of_the_future_takes_no_place_and_stays() -> None:
    """After a clock that was wrong, it would be the newest for years, and the real ones would go."""
    found = [known(NOW + 9 * 365 * DAY), *hourly(4)]
    verdicts = plan_retention(found, Rules(keep_last=2, max_bytes=1), NOW)
    assert ages(verdicts)[1:] == [0]
    assert why(verdicts, 0) == (
        "its time is in the future, so its age is not known",
        "it is the newest whole one of 'web'",
    )
    assert why(verdicts, 1)[0] == "it is the newest whole one of 'web'"


def test_a_clock_that_went_back_makes_all_older_ones_those_of_the_future() -> None:
    found = [known(100.0), *hourly(4)]
    verdicts = plan_retention(found, Rules(keep_last=1, max_age=60), 200.0)
    assert ages(verdicts, keep=False) == []


def test_ids_have_the_order_and_manifests_the_time() -> None:
    """After a clock that was years ahead, ids go on from there; what is made then is neither old nor of the future."""
    found = [known(NOW + 9 * 365 * DAY, id="x2035-a"), known(NOW - 60, id="x2035-b"), known(NOW - 30, id="x2035-c")]
    verdicts = plan_retention([*hourly(4), *found], Rules(keep_last=1), NOW)
    assert [one.of.id for one in verdicts if one.keep][:2] == ["x2035-c", "x2035-a"]
    assert ages(verdicts, keep=False) == [0, 0, 1, 2, 3]


def test_two_of_one_second_have_an_order() -> None:
    found = [known(NOW, id="20261130T164500Z-00000001"), known(NOW, id="20261130T164500Z-00000002")]
    for given in (found, found[::-1]):
        verdicts = plan_retention(given, Rules(keep_last=1), NOW)
        assert [one.of.id[-1] for one in verdicts if one.keep] == ["2"]


def any_store(chance: random.Random) -> list[Known]:
    """Returns a store of up to 40 checkpoints of up to 3 containers, whose chains may be broken or circular."""
    found = []
    for number in range(chance.randrange(41)):
        made = NOW - chance.choice((1, 60, HOUR, DAY, 7 * DAY, 40 * DAY)) * chance.random() * 10
        one = known(made, chance.choice(("web", "db", "mail")), id=f"{number:02d}", size_bytes=chance.randrange(200))
        found.append(replace(one, made=NOW + 5 * DAY) if chance.random() < 0.05 else one)
    for index, one in enumerate(found):
        odds = chance.random()
        if odds < 0.3 and found:
            found[index] = one = replace(one, parent=chance.choice([*found, known(0, id="gone")]).id)
        found[index] = replace(
            one,
            pinned=chance.random() < 0.05,
            fault="damaged" if chance.random() < 0.1 else "",
            used="in use" if chance.random() < 0.05 else "",
        )
    return found


def any_rules(chance: random.Random) -> Rules:
    def some(most: int) -> int:
        return chance.randrange(1, most) if chance.random() < 0.4 else 0

    return Rules(
        *(some(6), some(6), some(6), some(4), some(3)),
        max_age=some(20 * DAY) or None,
        max_bytes=some(2000) or None,
        max_total_bytes=some(4000) or None,
    )


def is_whole(one: Known, found: list[Known]) -> bool:
    """Decides by another way than the code: each step of the chain is a search, and no chain is longer than all."""
    for dummy in found:
        if one.fault:
            return False
        if not one.parent:
            return True
        above = [other for other in found if (other.name, other.id) == (one.name, one.parent)]
        if not above:
            return False
        one = above[0]
    return False


@pytest.mark.parametrize("seed", range(150))
def test_any_store_and_any_rules(seed: int) -> None:
    chance = random.Random(seed)
    found, rules = any_store(chance), any_rules(chance)
    verdicts = plan_retention(found, rules, NOW)
    assert sorted(one.of.key for one in verdicts) == sorted(one.key for one in found)
    kept = [one.of for one in verdicts if one.keep]
    assert all(one.why for one in verdicts)
    for name in {one.name for one in found}:
        own = [one for one in found if one.name == name]
        whole = [one for one in own if is_whole(one, own)]
        if not whole:
            assert all(one in kept for one in own), "nothing goes while none is whole"
            continue
        newest = max(whole, key=lambda one: one.id)
        assert newest in kept, "the last whole one"
        assert is_whole(newest, kept), "with all that it is built on"
        past = [one for one in whole if one.made <= NOW]
        assert not past or max(past, key=lambda one: one.id) in kept
    for one in found:
        if one.pinned or one.used or one.made > NOW:
            assert one in kept
    for one in kept:
        above = [
            other for other in found if other.kind == one.kind and (other.name, other.id) == (one.name, one.parent)
        ]
        assert all(other in kept for other in above), "a parent of one that is kept"
    again = plan_retention(kept, rules, NOW)
    assert [one.of.id for one in again if not one.keep] == [], "planned again, it removes more"


@pytest.mark.parametrize("seed", range(10))
def test_a_store_that_is_pruned_after_each_checkpoint(seed: int) -> None:
    """Checkpoints are made for weeks, at times with a clock that is set back; the last whole one is always there."""
    chance = random.Random(seed)
    rules, store, now = any_rules(chance), [], NOW
    for number in range(120):
        now += chance.choice((600, HOUR, 5 * HOUR, DAY, -2 * HOUR))
        fault = "damaged" if chance.random() < 0.1 else ""
        store.append(known(now, id=f"{number:03d}", fault=fault))
        before = [one for one in store if not one.fault]
        store = [one.of for one in plan_retention(store, rules, now) if one.keep]
        if before:
            past = [one for one in before if one.made <= now]
            assert max(past or before, key=lambda one: one.id) in store
    if rules.max_bytes is not None and rules.max_bytes >= 300 and not any(one.made > now for one in store):
        whole = [one for one in store if not one.fault]
        damaged = len(store) - len(whole)
        assert len(whole) == 1 or (len(whole) + damaged) * 100 <= rules.max_bytes


def pre_dumped() -> list[Known]:
    """Returns two dumps, each on a pre-dump of its own, and below them a pre-dump that nothing is built on."""
    found = hourly(5)
    names = ("dump-2", "pre-2", "dump-1", "pre-1", "pre-0")
    found = [replace(one, id=f"{9 - number}-{name}") for number, (one, name) in enumerate(zip(found, names))]
    found = [replace(one, pre_dump="pre" in one.id) for one in found]
    return [replace(found[0], parent=found[1].id), found[1], replace(found[2], parent=found[3].id), *found[3:]]


def test_a_pre_dump_counts_for_no_rule() -> None:
    verdicts = plan_retention(pre_dumped(), Rules(keep_last=1), NOW)
    assert ages(verdicts) == [0, 1]
    assert why(verdicts, 0) == ("it is the newest whole one of 'web'", "keep_last: 1 of 1")
    assert why(verdicts, 1) == (f"{verdicts[0].of.id} is built on it",)
    assert why(verdicts, 4) == ("it is a pre-dump, and nothing that stays is built on it",)
    assert ages(plan_retention(pre_dumped(), Rules(keep_last=2), NOW)) == [0, 1, 2, 3]


def test_the_newest_pre_dump_stays_for_the_next_checkpoint() -> None:
    newest = known(NOW - 1, id="99-pre", pre_dump=True)
    verdicts = plan_retention([newest, *pre_dumped()], Rules(keep_last=1), NOW)
    assert [one.of.id for one in verdicts if one.keep] == ["99-pre", "9-dump-2", "8-pre-2"]
    assert why(verdicts, 0) == ("the next checkpoint may be built on it",)
    old = replace(newest, made=NOW - DAY)
    verdicts = plan_retention([old, *pre_dumped()], Rules(keep_last=1, max_age=60 + 2 * HOUR), NOW)
    assert not verdicts[0].keep and why(verdicts, 0) == ("it is older than max_age",)


def test_pre_dumps_alone_are_no_last_copy() -> None:
    found = [replace(one, id=f"{number}-pre", pre_dump=True) for number, one in enumerate(reversed(hourly(3)))]
    assert ages(plan_retention(found, Rules(keep_last=5), NOW)) == [0]
    assert ages(plan_retention(found, Rules(max_age=60 + HOUR), NOW)) == [0, 1]
    assert ages(plan_retention(found, Rules(), NOW)) == [0, 1, 2]
    damaged = [replace(found[-1], id="9-dump", pre_dump=False, fault="its part 'a' is missing"), *found]
    verdicts = plan_retention(damaged, Rules(keep_last=1, max_age=1), NOW)
    assert [one.of.id for one in verdicts if one.keep] == ["9-dump"], "nothing better is there"


def test_a_chain_goes_as_a_whole() -> None:
    """The first dump and its pre-dump are too old; the pre-dump of the second is kept by it, however old it is."""
    found = pre_dumped()
    found[1] = replace(found[1], made=NOW - 90 * DAY)
    verdicts = plan_retention(found, Rules(keep_last=9, max_age=60 + HOUR), NOW)
    assert [one.of.id for one in verdicts if one.keep] == ["9-dump-2", "8-pre-2"]
