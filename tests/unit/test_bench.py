# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that the programs of tests/bench find the names that they import from the collection."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "tests/bench"
if not BENCH.exists() or not (ROOT / ".build/ansible_collections").exists():
    pytest.skip("the measurements run in a checkout, which make links into .build", allow_module_level=True)


def printed(*argv: str) -> Any:
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_log_is_read_once():
    log = ROOT / "tests/unit/fixtures/audit/debian13-no-policy-unit.txt"
    seen = printed(str(BENCH / "denial_log.py"), "--look", str(ROOT / ".build"), str(log))
    assert seen["records"] >= seen["kinds"] > 0


def test_criu_info_runs_without_ansible():
    (seen,) = printed(str(BENCH / "info_seconds.py"), str(ROOT / ".build"), "1")
    assert seen["run"] > seen["tools"] >= 0


@pytest.fixture(name="bench")
def bench_fixture(monkeypatch: pytest.MonkeyPatch) -> Any:
    names = ("bench", "crash", "common", "image", "base")
    for folder in ("extensions/molecule/lab", "tests/tools"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import bench  # type: ignore[import-not-found]

    yield bench
    for name in names:
        sys.modules.pop(name, None)


def archive(**more: float) -> dict[str, float]:
    """The figures of one round."""
    kib = {"write_kib": 40960.0, "verify_kib": 40960.0, "restore_kib": 40960.0}
    return {"write": 2.0, "restore": 1.0, "verify": 0.5, "sha256sum": 0.5, **kib, **more}


def test_a_slow_archive_misses_its_goal_alone(bench: Any, capsys: Any) -> None:
    seen = {"zstd": {"ours": [archive()], "bare": [{"write": 2.0, "restore": 1.0}]}}
    lines = {one["name"]: one["reached"] for one in bench.archive_lines("64", seen)}
    assert lines == {"write 64 MiB, zstd": False, "restore 64 MiB, zstd": True, "verify 64 MiB, zstd": True}
    assert "goal 0.9: MISSED" in capsys.readouterr().out


def test_memory_that_grows_with_the_archive_misses_its_goal(bench: Any) -> None:
    sizes = {"64": {"gzip": {"ours": [archive()]}}, "1024": {"gzip": {"ours": [archive(verify_kib=81920.0)]}}}
    lines = {one["name"]: one["reached"] for one in bench.memory_lines(sizes)}
    assert lines == {"memory, write, gzip": True, "memory, verify, gzip": False, "memory, restore, gzip": True}


@pytest.mark.parametrize(("seconds", "kib", "reached"), [(1.9, 102400, True), (2.1, 9, False), (1.0, 102401, False)])
def test_the_list_has_a_limit_of_time_and_of_memory(bench: Any, seconds: float, kib: int, reached: bool) -> None:
    assert bench.list_line({"entries": 1000, "seconds": [seconds], "peak_kib": kib})["reached"] is reached
