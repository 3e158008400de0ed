# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which `make test` takes its steps, and how it leaves a scenario out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture(name="run_all")
def run_all_fixture(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TOOLS))
    for name in ("run_all", "common"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import run_all  # type: ignore[import-not-found]

    yield run_all
    for name in ("run_all", "common"):
        sys.modules.pop(name, None)


def test_scenarios_wait_for_the_image_and_come_first_then(run_all: Any) -> None:
    queue = run_all.Queue(list(run_all.STEPS), None)
    assert [queue.take(), queue.take()] == ["image", "lint"]
    queue.set_image(True)
    assert [queue.take(), queue.take()] == ["checkpoint_host", "processes"]
    left = []
    while (name := queue.take()) is not None:
        left.append(name)
    assert left == [
        *("services", "apparmor_host", "virgin_host", "reports", "reports_bookworm", "crash"),
        *("unit", "fuzz", "docs", "build", "sanity", "fresh"),
    ]


def test_scenario_without_an_image_is_a_failure(run_all: Any) -> None:
    step = run_all.run_next("checkpoint_host", run_all.Queue([], False))
    assert (step.word, step.why_not, step.excused) == ("not run", "no image", False)
    assert run_all.run_next("crash", run_all.Queue([], False)).why_not == "no image"
    assert run_all.summarize([step]) == 1


@pytest.mark.parametrize(("minutes", "left_out"), [(44, False), (46, True)])
def test_scenario_that_would_not_end_in_time(
    run_all: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], minutes: int, left_out: bool
) -> None:
    monkeypatch.setattr(run_all, "STARTED", run_all.time.monotonic() - 60 * minutes)
    monkeypatch.setattr(run_all, "run_step", lambda name: run_all.Step(name, rc=0, counts={"passed": 1, "failed": 0}))
    step = run_all.run_next("services", run_all.Queue([], True))
    assert step.excused is left_out
    if left_out:
        step.counts["passed"] = 1
        assert run_all.summarize([step]) == 0
        printed = capsys.readouterr().out
        assert "make molecule SCENARIO=services" in printed and printed.endswith("1 passed, 0 failed, 1 skipped\n")


def test_the_closing_lines_name_the_checks_that_failed(
    run_all: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "reports.json"
    entries = [
        {"name": "good", "passed": 1, "failed": 0, "skipped": 0, "notes": ["seen"]},
        {"name": "bad", "passed": 0, "failed": 1, "skipped": 0, "notes": ["shows 0", "does not count"]},
    ]
    results.write_text(json.dumps(entries), encoding="utf-8")
    step = run_all.Step("reports", rc=1)
    run_all.read_counts(step, results)
    assert run_all.summarize([step]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == ["failed in reports: bad: shows 0; does not count", "1 passed, 1 failed"]


def test_summary_says_what_did_not_run_and_why(run_all: Any, tmp_path: Path) -> None:
    results = tmp_path / "unit.json"
    entry = {"name": "unit", "passed": 3, "failed": 0, "skipped": 1, "notes": ["needs SELinux (test_x)"]}
    results.write_text(run_all.json.dumps([entry, {**entry, "skipped": 0, "notes": ["fine"]}]))
    steps = [run_all.Step(name, rc=0) for name in run_all.STEPS]
    run_all.read_counts(steps[0], results)
    steps[1].why_not = "slow machine"
    lines = run_all.not_run(steps)
    assert lines[:2] == [f"{steps[1].name}: slow machine", "image, unit: needs SELinux (test_x)"]
    assert "make molecule SCENARIO=domains: it takes too long" in lines
    assert not [line for line in lines if "SCENARIO=processes" in line or "SCENARIO=default" in line]
    assert "make crash: all cases of the crash tests take hours: a sample was run" in lines
    assert not [line for line in run_all.not_run(steps[2:4]) if line.startswith("make")]
