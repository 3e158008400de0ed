# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which `make test` takes its steps, and how it leaves a scenario out."""

from __future__ import annotations

import json
import re
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


def test_each_step_waits_for_those_that_it_needs(run_all: Any) -> None:
    queue = run_all.Queue(list(run_all.STEPS))
    taken = [queue.take()]
    queue.end("deps", True)
    taken += [queue.take(), queue.take()]
    for name in ("venv", "floor", "collections"):
        queue.end(name, True)
        taken.append(queue.take())
    assert taken == ["deps", "disk", "venv", "floor", "collections", "unit"], "no step waits for the disk"
    queue.end("disk", True)
    assert [queue.take() for dummy in range(4)] == ["image", "lint", "docs", "build"]
    queue.end("image", True)
    left = []
    while (name := queue.take()) is not None:
        left.append(name)
    assert left == [
        *("checkpoint_host", "sanity", "processes", "services", "apparmor_host", "virgin_host"),
        *("plain_hosts", "reports", "reports_bookworm", "crash", "fuzz", "fresh"),
    ]


def test_what_is_never_left_out_comes_first(run_all: Any) -> None:
    left_out = [name in run_all.LATEST for name in run_all.STEPS]
    assert left_out == sorted(left_out) and True in left_out and not left_out[0]


def test_scenario_without_an_image_is_a_failure(run_all: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_all, "about", list)
    queue = run_all.Queue([])
    queue.end("image", False)
    step = run_all.run_next("checkpoint_host", queue)
    assert (step.word, step.why_not, step.excused) == ("not run", "no image", False)
    assert run_all.run_next("crash", queue).why_not == "no image"
    assert run_all.summarize([step]) == 1


@pytest.mark.parametrize(("minutes", "left_out"), [(44, False), (46, True)])
def test_scenario_that_would_not_end_in_time(
    run_all: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], minutes: int, left_out: bool
) -> None:
    monkeypatch.setattr(run_all, "about", list)
    monkeypatch.setattr(run_all, "STARTED", run_all.time.monotonic() - 60 * minutes)
    monkeypatch.setattr(run_all, "run_step", lambda name: run_all.Step(name, rc=0, counts={"passed": 1, "failed": 0}))
    step = run_all.run_next("services", run_all.Queue([]))
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
    assert lines[:2] == [f"{steps[1].name}: slow machine", "deps, unit: needs SELinux (test_x)"]
    assert "make molecule SCENARIO=domains: it takes too long" in lines
    assert not [line for line in lines if "SCENARIO=processes" in line or "SCENARIO=default" in line]
    assert "make crash: all cases of the crash tests take three hours: a sample was run" in lines
    steps[run_all.STEPS.index("crash")].why_not = "slow machine"
    lines = run_all.not_run(steps)
    assert "make crash: all cases of the crash tests take three hours" in lines, "there was no sample"
    assert "make fuzz: more than 100,000 inputs take 10 minutes: a sample was run" in lines
    assert not [line for line in run_all.not_run(steps[6:8]) if line.startswith("make")]


def test_each_target_of_make_that_checks_is_run_or_said_not_to_be(run_all: Any) -> None:
    """What only prepares, rewrites or cleans is no check."""
    targets = re.findall(r"^([a-z]+):.*##", (TOOLS.parents[1] / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    run = {words[0] for words in (run_all.target(name) for name in run_all.STEPS)}
    never = {command.split()[1] for command in run_all.NEVER}
    others = {"help", "test", "format", "tables", "clean"}
    assert set(targets) - run - never == others
    assert set(run_all.SAMPLED) <= set(run_all.NEVER)
    assert set(run_all.SAMPLED.values()) == {*run_all.SAMPLES, run_all.REPORTS_12}


@pytest.mark.parametrize(
    ("asked", "ran"),
    [
        (["docs"], {"venv", "floor", "collections", "docs"}),
        (["deps"], {"deps"}),
        (["disk"], {"deps", "disk"}),
        (["plain_hosts"], {"deps", "venv", "floor", "collections", "plain_hosts"}),
        (["crash"], {"deps", "disk", "venv", "floor", "collections", "image", "crash"}),
    ],
)
def test_a_step_brings_those_that_it_needs(
    run_all: Any, monkeypatch: pytest.MonkeyPatch, asked: list[str], ran: set[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run_all.py", *asked])
    monkeypatch.setattr(run_all.signal, "signal", lambda *dummy: None)
    monkeypatch.setattr(run_all, "run_parallel", set)
    monkeypatch.setattr(run_all, "summarize", lambda wanted: wanted)
    assert run_all.work() == ran
