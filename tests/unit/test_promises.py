# SPDX-License-Identifier: GPL-3.0-or-later
"""Each promise in docs/promises.md names the tests that hold it; each of those tests exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES = ROOT / "docs/promises.md"


def rows() -> list[list[str]]:
    """Return the cells of the promises, without heads and rules."""
    lines = [line for line in PROMISES.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] not in ("Promise", "---")]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def exists(name: str) -> bool:
    """Return whether a name such as tests/x.py::test_y, or a target of make, exists."""
    if name.startswith("make "):
        return re.search(rf"^{name[5:]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE) is not None
    file, dummy_sign, function = name.partition("::")
    if not (ROOT / file).is_file():
        return False
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_a_promise_names_tests_that_exist(row: list[str]) -> None:
    promise, held = row
    assert named(held), f"{promise!r} has no test"
    assert [name for name in named(held) if not exists(name)] == []


def test_a_name_that_is_wrong_is_found() -> None:
    assert exists("make unit") and exists("tests/unit/test_promises.py::test_a_name_that_is_wrong_is_found")
    assert not exists("make nothing")
    assert not exists("tests/unit/test_promises.py::test_nothing")
    assert not exists("tests/unit/test_nothing.py::test_nothing")


def test_the_waiting_time_of_the_lock_is_the_documented_one() -> None:
    from ansible_collections.criu.hosts.plugins.module_utils._core.lock import HOLD_SECONDS

    assert f"at most {HOLD_SECONDS:.0f} seconds" in PROMISES.read_text(encoding="utf-8")
