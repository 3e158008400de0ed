# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a dump or restore may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Remove
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import limited, seconds_for, used_bytes
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import resident_memory, tree_memory


@pytest.mark.parametrize(
    ("size", "seconds"), [(0, 300), ((4 << 20) - 1, 300), (4 << 20, 301), (1 << 30, 556), (1 << 40, 262444)]
)
def test_the_limit_grows_with_the_memory(size: int, seconds: int) -> None:
    assert seconds_for(size) == seconds


def test_only_a_command_that_nothing_else_ends_gets_a_limit() -> None:
    dump, look = Command(("criu",), why="dump", finish=True), Command(("podman",), why="look")
    found = limited((dump, look, Remove("/a")), 8 << 20)
    assert [getattr(one, "time_limit", None) for one in found] == [302.0, None, None]


def test_used_bytes_of_a_folder_that_is_not_there_are_those_of_its_file_system(tmp_path: Path) -> None:
    assert used_bytes(str(tmp_path / "a/b")) == used_bytes(str(tmp_path)) > 0


def test_the_memory_of_all_descendants_counts(tmp_path: Path) -> None:
    for pid, children, pages in ((7, "8 9", 10), (8, "", 20), (9, "11", 30), (11, "", 40), (12, "", 50)):
        (tmp_path / f"proc/{pid}/task/{pid}").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/task/{pid}/children").write_text(children)
        (tmp_path / f"proc/{pid}/statm").write_text(f"99 {pages} 0")
    paths = Paths(str(tmp_path))
    assert tree_memory(paths, 7) == resident_memory(paths, [7, 8, 9, 11]) > 0
