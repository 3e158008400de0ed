# SPDX-License-Identifier: GPL-3.0-or-later
"""How a plan ends: checks, waits and kills as steps; what runs after a failure, and in which order."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_plan
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Check,
    Command,
    Kill,
    Plan,
    Remove,
    Step,
    Wait,
)


class Recorder:
    """A runner that fails the commands named ``bad``."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, argv: Sequence[str], **dummy_options: Any) -> Completed:
        self.ran.append(argv[0])
        return Completed(tuple(argv), int(argv[0].startswith("bad")), "", f"{argv[0]} failed")

    def which(self, name: str) -> str:
        return name


def refuse() -> None:
    raise CheckpointError("Cannot go on: labels differ. Look.", reason="label_changed")


def explained(error: CheckpointError) -> CheckpointError:
    return CheckpointError(f"Explained: {error.message}", reason="explained", **error.facts)


def command(name: str, **options: Any) -> Command:
    return Command((name,), why=name, **options)


CASES = [
    pytest.param(
        (command("one"), Check(refuse, "check", undo=(command("stop"),)), command("two"), command("back", always=True)),
        ["one", "back", "stop"],
        "label_changed",
        id="check-fails",
    ),
    pytest.param(
        (Check(lambda: None, "check", undo=(command("stop"),)), command("two")), ["two"], None, id="check-passes"
    ),
    pytest.param(
        (command("bad", explain=explained, undo=(command("stop"),)), command("back", always=True)),
        ["bad", "back", "stop"],
        "explained",
        id="command-is-explained-and-undone-last",
    ),
    pytest.param(
        (command("bad", undo=(command("bad-undo"), command("undo"))),),
        ["bad", "bad-undo", "undo"],
        "tool_failed",
        id="undo-goes-on",
    ),
    pytest.param((Wait(lambda: True, 0, "wait", "Look."), command("two")), ["two"], None, id="wait-ends"),
    pytest.param((Wait(lambda: False, 0, "wait", "Look."), command("two")), [], "tool_failed", id="wait-gives-up"),
]


@pytest.mark.parametrize(("steps", "ran", "reason"), CASES)
def test_order_of_the_end(steps: tuple[Step, ...], ran: list[str], reason: str | None) -> None:
    runner = Recorder()
    if reason is None:
        apply_plan(runner, Plan(steps=steps))
    else:
        with pytest.raises(CheckpointError) as raised:
            apply_plan(runner, Plan(steps=steps))
        assert raised.value.reason == reason
        bad = [name for name in ran if name.startswith("bad-")]
        assert raised.value.facts.get("cleanup_failed", []) == [f"Cannot {name}: {name} failed." for name in bad]
    assert runner.ran == ran


@pytest.mark.parametrize("kind", ["command", "check"])
def test_a_tolerated_failure_is_handed_over_and_the_plan_goes_on(kind: str) -> None:
    found: list[CheckpointError] = []
    bad: Step = Command(("bad-one",), why="bad-one", tolerate=found.append)
    if kind == "check":
        bad = Check(refuse, "check", tolerate=found.append)
    runner = Recorder()
    apply_plan(runner, Plan(steps=(bad, command("two"))))
    assert runner.ran[-1] == "two"
    assert [one.reason for one in found] == ["tool_failed" if kind == "command" else "label_changed"]


def test_a_stop_of_the_task_is_not_tolerated() -> None:
    found: list[CheckpointError] = []

    def interrupt() -> None:
        raise CheckpointError("Stopped by SIGTERM. Run the task again.", reason="interrupted")

    with pytest.raises(CheckpointError) as raised:
        apply_plan(Recorder(), Plan(steps=(Check(interrupt, "check", tolerate=found.append),)))
    assert (raised.value.reason, found) == ("interrupted", [])


def test_undo_is_no_predicted_command() -> None:
    plan = Plan(steps=(command("one", undo=(command("undo"),)), Check(refuse, "check", undo=(command("stop"),))))
    assert plan.changed and plan.commands == [["one"]]


def test_explanation_that_fails_leaves_the_failure() -> None:
    def broken(dummy_error: CheckpointError) -> CheckpointError:
        raise CheckpointError("Cannot read the log: gone. Look.", reason="file_failed")

    with pytest.raises(CheckpointError) as raised:
        apply_plan(Recorder(), Plan(steps=(command("bad", explain=broken),)))
    assert raised.value.reason == "tool_failed"
    assert raised.value.facts["cleanup_failed"] == ["Cannot read the log: gone. Look."]


@pytest.fixture(name="sleeper")
def sleeper_fixture() -> Any:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield child
    child.kill()
    child.wait()


def test_kill_reaches_all_and_forgives_those_that_have_ended(sleeper: Any, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    asked: list[int] = []

    def pids() -> list[int]:
        asked.append(1)
        return [ended.pid, sleeper.pid]

    plan = Plan(steps=(Kill(pids, "end what has the wrong label"),))
    assert asked == [] and plan.commands == []
    apply_plan(Recorder(), plan)
    assert sleeper.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize("until", [lambda: 1 / 0, refuse])
def test_wait_passes_on_what_its_question_raises(until: Callable[[], bool]) -> None:
    with pytest.raises((CheckpointError, ZeroDivisionError)):
        apply_plan(Recorder(), Plan(steps=(Wait(until, 60, "wait", "Look."),)))


def test_error_of_a_step_without_a_path() -> None:
    def refused() -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with pytest.raises(CheckpointError) as raised:
        apply_plan(Recorder(), Plan(steps=(Check(refused, "compare the labels"),)))
    assert raised.value.reason == "file_failed"
    message = "Cannot compare the labels: Operation not permitted. Check which user runs the task."
    assert raised.value.message == message


def test_a_removed_file_takes_what_a_killed_task_left_of_it_along(tmp_path: Path) -> None:
    path, other = tmp_path / "note", tmp_path / ".other.criu-hosts"
    for one in (path, tmp_path / ".note.criu-hosts", other):
        one.write_text("")
    apply_plan(Recorder(), Plan(steps=(Remove(str(path), why="remove the note"),)))
    assert list(tmp_path.iterdir()) == [other]
