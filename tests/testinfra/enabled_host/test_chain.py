# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that are checkpointed in two steps come back with labels and counters, from a store and in place."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from matrix_checks import entry, require_counting_on, require_same_labels

# An emulated machine needs minutes for each runtime: one stands for both (docs/checkpoints.md).
RUNTIME = "crun"
CASES = [f"threads-{RUNTIME}"]


@pytest.fixture(scope="module")
def chain(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The observations of one run of the play."""
    return seen_by("chain.yml", chain_runtimes=RUNTIME)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("moment", ["between", "after", "last"])
def test_labels_and_counters_go_on(chain: dict[str, Any], case: str, moment: str) -> None:
    seen = entry(chain, case)
    since = {**seen, "after": seen[moment]}
    require_same_labels(since)
    require_counting_on(since)
    assert seen[moment]["id"] == seen["before"]["id"] and seen[moment]["status"] == "running"


@pytest.mark.parametrize("case", CASES)
def test_the_first_step_leaves_the_container_running(chain: dict[str, Any], case: str) -> None:
    first, again = entry(chain, case)["pre"]
    assert (first["changed"], first["checkpoint"]["container_state"]) == (True, "running")
    assert first["checkpoint"]["pre_checkpoint"] is True
    assert (again["changed"], again["commands"]) == (False, [])


@pytest.mark.parametrize("case", CASES)
def test_the_second_step_writes_less(chain: dict[str, Any], case: str) -> None:
    seen = entry(chain, case)
    first, again = seen["dumped"]
    assert (first["changed"], first["checkpoint"]["container_state"]) == (True, "exited")
    assert first["checkpoint"]["parent"] == seen["pre"][0]["checkpoint"]["archive_path"]
    assert first["statistics"]["written_pages"] < seen["pre"][0]["statistics"]["written_pages"]
    for later in (again, seen["pre_later"]):
        assert (later["changed"], later["commands"]) == (False, [])


@pytest.mark.parametrize("case", CASES)
def test_the_store_has_both(chain: dict[str, Any], case: str) -> None:
    second, first = entry(chain, case)["listed"]
    assert (first["pre_checkpoint"], second["pre_checkpoint"]) == (True, False)
    assert second["parent"] == first["checkpoint"]
    assert (second["restorable"], second["reasons"]) == (True, [])
    assert [one["reason"] for one in first["reasons"]] == ["archive_pre_dump"]
    assert first["verified"] is True and second["verified"] is True


@pytest.mark.parametrize("case", CASES)
def test_the_restore_takes_both(chain: dict[str, Any], case: str) -> None:
    seen = entry(chain, case)
    first, again = seen["imported"]
    assert first["changed"] is True
    words = [word for argv in first["commands"] for word in argv]
    assert f"--import-previous={seen['pre'][0]['checkpoint']['archive_path']}" in words
    assert all(one["before"] == one["after"] for one in first["labels"]) and first["labels"]
    assert (again["changed"], again["commands"]) == (False, [])


@pytest.mark.parametrize("case", CASES)
def test_in_place(chain: dict[str, Any], case: str) -> None:
    seen = entry(chain, case)
    assert seen["refused"]["reason"] == "parent_missing" and "\n" not in seen["refused"]["msg"]
    first, second = seen["in_place"]
    assert first["changed"] is True and second["changed"] is True
    assert second["statistics"]["written_pages"] < first["statistics"]["written_pages"]
    assert seen["restored"]["changed"] is True
    assert seen["left"] == []


def test_nothing_was_denied(chain: dict[str, Any]) -> None:
    assert chain["denials"] == []
