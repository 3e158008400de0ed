# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoint and restore after a reboot: one case of each kind, since the others do not depend on the boot."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from matrix_checks import entry, require_connection, require_counting_on, require_same_labels

# Each runtime once, each way once: before the reboot there were all combinations.
COUNTING = ["threads-runc", "all-unit-crun"]
CONNECTED = "redis-crun"


@pytest.fixture(scope="module")
def matrix(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The observations of a run of these cases after the reboot."""
    cases = "|".join(f"{case}$" for case in [*COUNTING, CONNECTED])
    return seen_by("matrix.yml", matrix_only=cases, matrix_again="false")


@pytest.mark.parametrize("case", [*COUNTING, CONNECTED])
def test_every_thread_has_the_same_label(matrix: dict[str, Any], case: str) -> None:
    require_same_labels(entry(matrix, case))


@pytest.mark.parametrize("case", COUNTING)
def test_every_thread_continues_to_count(matrix: dict[str, Any], case: str) -> None:
    require_counting_on(entry(matrix, case))


def test_the_connection_continues(matrix: dict[str, Any]) -> None:
    require_connection(entry(matrix, CONNECTED), "after")


def test_nothing_was_denied(matrix: dict[str, Any]) -> None:
    assert matrix["denials"] == []
