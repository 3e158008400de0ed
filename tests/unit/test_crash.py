# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases of `make crash`, the sample of them that `make test` runs, and the reports of both programs."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
NAMES = ("driver", "cases", "plans", "task", "world", "run", "soak", "crash", "common", "image", "base")
KINDS = ("MakeDir", "Command", "WriteFile")


@pytest.fixture(name="crash_imports")
def crash_imports_fixture(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make tests/crash and tests/tools importable, for the time of a test."""
    for folder in ("../extensions/molecule/lab", "tools", "crash"):
        monkeypatch.syspath_prepend(str((TESTS / folder).resolve()))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield monkeypatch
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture(name="cases")
def cases_fixture(crash_imports: Any) -> Any:
    import cases  # type: ignore[import-not-found]

    return cases


def test_each_boundary_meets_each_signal(cases: Any) -> None:
    found = cases.cases_of("plan", KINDS)
    assert {(one.step, one.when) for one in found if one.what == "KILL"} == {
        (1, "before"),
        (1, "after"),
        (2, "before"),
        (2, "during"),
        (2, "after"),
        (3, "before"),
        (3, "inside"),
        (3, "after"),
    }
    assert {one.what for one in found if (one.step, one.when) == (2, "during")} == set(cases.SIGNALS)


def test_only_what_writes_meets_a_failing_write(cases: Any) -> None:
    found = [one for one in cases.cases_of("plan", KINDS) if one.what in cases.ERRORS]
    assert {one.step for one in found} == {1, 3}


def test_the_same_seed_is_the_same_sample(cases: Any) -> None:
    found = [one for plan in ("a", "b") for one in cases.cases_of(plan, KINDS)]
    assert cases.sample(found, 9, 1) == cases.sample(found, 9, 1) != cases.sample(found, 9, 2)
    assert len(cases.sample(found, 9, 1)) == 9
    assert len(cases.sample(found, 10**6, 1)) == len(found) == len(set(found))


def test_each_sample_stops_and_kills_each_dump_and_restore(cases: Any) -> None:
    found = cases.cases_of("dump", KINDS, full_disk=True) + cases.cases_of("files", ("Remove", "Remove"))
    assert {one.name for one in cases.sample(found, 0, 1)} == {
        "dump:2:before:TERM",
        "dump:2:during:KILL",
        "dump:0:during:full disk",
        "files:1:before:TERM",
        "files:1:after:KILL",
    }


def test_the_file_system_of_a_store_is_taken_away_at_each_step(cases: Any) -> None:
    before = {f"plan:{step}:before:{what}" for step in (1, 2, 3) for what in ("read-only", "gone")}
    for store, expected in (("before", before), ("during", {*before, "plan:2:during:gone"})):
        found = {one.name for one in cases.cases_of("plan", KINDS, store=store) if one.what in cases.AWAY}
        assert found == expected
    assert not [one for one in cases.cases_of("plan", KINDS) if one.what in cases.AWAY]


def test_a_case_is_read_back_from_its_name(cases: Any) -> None:
    for one in cases.cases_of("plan", KINDS, full_disk=True):
        assert cases.parse_case(one.name) == one


def test_both_programs_know_the_same_plans(crash_imports: Any) -> None:
    import crash  # type: ignore[import-not-found]
    import plans  # type: ignore[import-not-found]

    assert tuple(plans.PLANS) == crash.PLANS
    assert set(crash.SAMPLED) < set(crash.PLANS) and {*crash.STANDS_FOR.values()} < {*crash.SAMPLED}
    assert len(crash.SAMPLED) == 13, "each plan more makes the sample longer"


def test_a_part_that_is_not_the_one_in_the_manifest_is_found(crash_imports: Any, tmp_path: Path) -> None:
    import world  # type: ignore[import-not-found]

    crash_imports.setattr(world, "STORE", tmp_path)
    one = tmp_path / "containers/web/20261130T164500Z-1a2b3c4d"
    one.mkdir(parents=True)
    os.chmod(one, 0o700)
    (one / "archive.tar").write_bytes(b"memory")
    (one / "archive.tar").chmod(0o600)
    part = {"name": "archive.tar", "size_bytes": 6, "sha256": hashlib.sha256(b"memory").hexdigest()}
    assert "is not whole" in world.not_whole("now")[0], "it has no manifest"
    (one / "manifest.json").write_text(json.dumps({"parts": [part]}))
    (one / "manifest.json").chmod(0o600)
    assert world.not_whole("now", settled=True) == []
    (one / "left").touch(mode=0o600)
    assert world.not_whole("now") == [] and "is in no manifest" in world.not_whole("now", settled=True)[0]
    (one / "archive.tar").write_bytes(b"memorY")
    assert "is not the one in its manifest" in world.not_whole("now")[0]


def test_a_plan_without_its_program_is_named_as_skipped(crash_imports: Any, tmp_path: Path, capsys: Any) -> None:
    import common  # type: ignore[import-not-found]
    import crash

    crash_imports.setattr(common, "RESULTS", tmp_path)
    results = crash.Results()
    results.add({"without": "container_restore_store_age", "program": "age"})
    report = common.Report("crash")
    results.report(report)
    assert report.entries[0].skipped == 1
    assert "age is not on the test host, or does not run there" in capsys.readouterr().out


def test_the_clock_of_a_task_is_moved(crash_imports: Any) -> None:
    import driver  # type: ignore[import-not-found]

    clock = SimpleNamespace(time=lambda: 7200.0, gmtime=time.gmtime)
    crash_imports.setattr(driver, "time", clock)
    driver.set_clock(-7200)
    assert (clock.time(), time.strftime("%H:%M", clock.gmtime()), clock.gmtime(60)[4]) == (0.0, "00:00", 1)


def test_the_driver_patches_what_exists() -> None:
    from ansible_collections.criu.hosts.plugins.module_utils._core import apply, lock

    text = (TESTS / "crash/driver.py").read_text(encoding="utf-8")
    assert "apply.apply_step = " in text and callable(apply.apply_step)
    assert "HOLD_SECONDS = " in text and lock.HOLD_SECONDS > 0
    assert "apply_step(" in Path(apply.__file__).read_text(encoding="utf-8").partition("def _try")[2]


def test_broken_promises_are_named_and_fail_the_step(crash_imports: Any, tmp_path: Path, capsys: Any) -> None:
    import common  # type: ignore[import-not-found]
    import crash

    crash_imports.setattr(common, "RESULTS", tmp_path)
    results = crash.Results()
    results.add({"plan": "process_restore", "steps": ["Command x"], "problems": []})
    results.add({"of": 9, "chosen": 2})
    results.add({"case": "process_restore:1:before:KILL", "problems": ["2 copies live"], "seconds": 1.0})
    results.add({"case": "process_restore:1:before:TERM", "problems": [], "seconds": 1.0})
    report = common.Report("crash")
    results.report(report)
    assert report.finish() == 1
    assert "process_restore:1:before:KILL: 2 copies live" in capsys.readouterr().out
    assert (report.entries[0].passed, report.entries[0].failed) == (1, 1)


def test_half_of_the_cycles_are_disturbed_and_a_seed_repeats_them(crash_imports: Any) -> None:
    crash_imports.delitem(sys.modules, "soak", raising=False)
    import soak  # type: ignore[import-not-found]

    draws = [[soak.plan_kill(order) for dummy in range(400)] for order in (random.Random(7), random.Random(7))]
    assert draws[0] == draws[1]
    kills = [one for one in draws[0] if one is not None]
    assert 150 < len(kills) < 250
    assert {one.what for one in kills} == {"TERM", "HUP", "INT", "QUIT", "KILL"} and {one.task for one in kills} == {
        0,
        1,
    }


def test_the_report_of_a_soak_names_seed_and_broken_promises(crash_imports: Any) -> None:
    crash_imports.syspath_prepend(str(TESTS / "tools"))
    crash_imports.delitem(sys.modules, "soak", raising=False)
    import soak

    one = {"kind": "place", "kill": "KILL", "task": 0, "problems": [], "seconds": 1.0}
    lines = soak.render([one, {**one, "kill": None, "task": None, "problems": ["lost"]}], 7, 2.0, "commit x")
    text = "\n".join(lines)
    assert "SEED=7" in text and "1 of 2 cycles were disturbed (1 SIGKILL); 1 cycles broke a promise" in text
    assert re.search(r"\| place \| 2 \| 1 \| 0 \| 1 \| 1.0 \|", text)
