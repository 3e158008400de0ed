# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes and process trees in other domains: denied while the boolean is off, restored while it is on."""

from __future__ import annotations

from typing import Any, Callable

import pytest

DOMAIN = "unconfined_u:unconfined_r:unconfined_execmem_t:"
SHELL = "unconfined_u:unconfined_r:unconfined_t:"


@pytest.fixture(scope="module")
def labels(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """One run of domains.yml."""
    return seen_by("../domains/domains.yml")


def of_threads(seen: dict[str, Any]) -> set[str]:
    return {thread["label"] for thread in seen["threads"]}


def test_runcon_started_it_in_another_domain(labels: dict[str, Any]) -> None:
    (label,) = of_threads(labels["before"][0])
    assert label.startswith(DOMAIN)
    assert len(labels["before"][0]["threads"]) == 4


def test_the_restore_is_denied_while_the_boolean_is_off(labels: dict[str, Any]) -> None:
    off = labels["off"]
    assert off["rc"] != 0
    denied = [line for line in off["denied"] if "{ dyntransition }" in line or "{ execmem }" in line]
    assert denied and all("unconfined_t" in line for line in denied)


def test_the_denial_is_explained(labels: dict[str, Any]) -> None:
    explained = [
        one for one in labels["refused"]["denials"] if one["source"].startswith(SHELL) and one["matters"] == "yes"
    ]
    assert explained and {one["verdict"] for one in explained} == {"rule_missing"}
    assert all("process_restore" in one["remedy"]["advice"] for one in explained)


@pytest.mark.parametrize("way", ["runcon", "unit", "shell"])
def test_the_label_is_the_same_while_the_boolean_is_on(labels: dict[str, Any], way: str) -> None:
    before = of_threads(labels["before"][0])
    if way == "runcon":
        assert labels["runcon"]["rc"] == 0, labels["runcon"]
        assert len(labels["runcon"]["labels"]) == 4 and set(labels["runcon"]["labels"]) == before
        return
    restored = labels["unit"] if way == "unit" else labels["restored"][0]
    assert restored["label_proof"] == "enforcing"
    assert [(one["before"], one["after"]) for one in restored["labels"]] == [(*before, *before)]


def test_it_continues_to_count(labels: dict[str, Any]) -> None:
    for before, after in zip(labels["before"], labels["after"], strict=True):
        assert all(after["counters"][number] > count for number, count in before["counters"].items())


def test_a_child_with_a_different_label_keeps_it(labels: dict[str, Any]) -> None:
    for moment in ("before", "after"):
        parent, child = (of_threads(labels[moment][number]) for number in (1, 2))
        assert [label.startswith(SHELL) for label in parent] == [True]
        assert [label.startswith(DOMAIN) for label in child] == [True]
    assert [one["threads"] for one in labels["before"][1:]] == [one["threads"] for one in labels["after"][1:]]
    assert {one["before"] == one["after"] for one in labels["restored"][1]["labels"]} == {True}
    assert len({one["after"] for one in labels["restored"][1]["labels"]}) == 2


def test_two_tasks_at_once_share_the_boolean(host: Any, labels: dict[str, Any]) -> None:
    """Each task switches it on and off again: the first to end must leave it on for the other."""
    assert [one["changed"] for one in labels["restored"]] == [True, True]
    for one in labels["restored"]:
        switched = [argv for argv in one["commands"] if argv[0] == "setsebool"]
        assert next(argv[1:] for argv in switched) == ["unconfined_dyntrans_all", "on"]
    assert host.check_output("getsebool unconfined_dyntrans_all") == "unconfined_dyntrans_all --> off"
