# SPDX-License-Identifier: GPL-3.0-or-later
"""Real containers keep labels, counters, locks and connections through checkpoint and restore on an enabled host."""

from __future__ import annotations

from typing import Any

import pytest
from matrix_checks import entry, require_connection, require_counting_on, require_same_labels

RUNTIMES = ("runc", "crun")
KINDS = ("threads", "redis", "descriptors", "unit")
BY_MODULES = [f"{kind}-{runtime}" for kind in KINDS for runtime in RUNTIMES]
BY_UNITS = [f"all-unit-{runtime}" for runtime in RUNTIMES]
COUNTING = [name for name in [*BY_MODULES, *BY_UNITS] if not name.startswith("redis")]
ARCHIVED = [f"{kind}-{runtime}" for kind in ("threads", "redis") for runtime in RUNTIMES]
CONNECTED = [f"redis-{runtime}" for runtime in RUNTIMES]


def test_every_case_was_run(matrix: dict[str, Any]) -> None:
    assert sorted(one["case"] for one in matrix["cases"]) == sorted([*BY_MODULES, *BY_UNITS])


@pytest.mark.parametrize("case", [*BY_MODULES, *BY_UNITS])
def test_every_thread_has_the_same_label(matrix: dict[str, Any], case: str) -> None:
    require_same_labels(entry(matrix, case))


@pytest.mark.parametrize("case", COUNTING)
def test_every_thread_continues_to_count(matrix: dict[str, Any], case: str) -> None:
    require_counting_on(entry(matrix, case))


@pytest.mark.parametrize("case", BY_MODULES)
def test_the_modules_report_the_change(matrix: dict[str, Any], case: str) -> None:
    seen = entry(matrix, case)
    assert seen["dumped"]["changed"] is True
    assert seen["restored"]["changed"] is True
    assert all(one["before"] == one["after"] for one in seen["restored"]["labels"])


@pytest.mark.parametrize("case", [name for name in BY_MODULES if name.startswith("threads")])
def test_the_file_lock_is_held_again(matrix: dict[str, Any], case: str) -> None:
    seen = entry(matrix, case)
    assert seen["before"]["locks"] == seen["after"]["locks"] == 1


@pytest.mark.parametrize("case", CONNECTED)
@pytest.mark.parametrize("moment", ["after", "after_import"])
def test_the_connection_continues(matrix: dict[str, Any], case: str, moment: str) -> None:
    require_connection(entry(matrix, case), moment)


@pytest.mark.parametrize("case", ARCHIVED)
def test_the_archive_restores_the_same_container(matrix: dict[str, Any], case: str) -> None:
    seen = entry(matrix, case)
    assert seen["exported"]["changed"] is True
    assert seen["imported"]["changed"] is True
    assert seen["after_import"]["id"] == seen["before"]["id"]
    assert seen["after_import"]["threads"] == seen["before"]["threads"]


@pytest.mark.parametrize("task", ["exported_again", "imported_again"])
def test_a_second_run_changes_nothing(matrix: dict[str, Any], task: str) -> None:
    again = entry(matrix, "threads-runc")[task]
    assert again["changed"] is False
    assert again["commands"] == []


@pytest.mark.parametrize("case", ARCHIVED)
def test_archives_are_private(host: Any, matrix: dict[str, Any], case: str) -> None:
    assert entry(matrix, case)["exported"]["changed"]
    archive = host.file(f"/var/lib/lab/matrix/{case}.tar.zst")
    assert (archive.user, archive.mode) == ("root", 0o600)


def test_nothing_was_denied(matrix: dict[str, Any]) -> None:
    assert matrix["denials"] == []
