# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that a stop must not cut off, and folders that are put in place in one rename."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import Any, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_plan
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, Command, Plan, Rename
from ansible_collections.criu.hosts.plugins.module_utils._core.session import TIMED_OUT
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import STOPS, stoppable, watched


class Stopped:
    """A runner that receives a request to stop while its first command runs."""

    def __init__(self, rc: int = 0, number: int = signal.SIGTERM) -> None:
        self.rc, self.number = rc, number
        self.told = False
        self.ended: list[str] = []

    def run(self, argv: Sequence[str], **dummy_options: Any) -> Completed:
        if not self.told:
            self.told = True
            os.kill(os.getpid(), self.number)
        self.ended.append(argv[0])
        return Completed(tuple(argv), self.rc, "", "broken")

    def which(self, name: str) -> str:
        return name


def plan(finish: bool) -> Plan:
    return Plan(
        steps=(
            Command(("dump",), why="dump", finish=finish),
            Command(("next",), why="go on"),
            Command(("last",), why="clean up", always=True),
        )
    )


def test_a_stop_ends_a_plan_that_may_be_left() -> None:
    runner = Stopped()
    with pytest.raises(CheckpointError) as raised:
        apply_plan(runner, plan(finish=False))
    assert raised.value.reason == "interrupted"
    assert runner.ended == ["last"]


def test_a_stop_lets_a_plan_go_on_that_has_begun_what_must_be_finished() -> None:
    runner = Stopped()
    apply_plan(runner, plan(finish=True))
    assert runner.ended == ["dump", "next", "last"]


def test_a_stop_before_the_step_that_must_be_finished_prevents_it() -> None:
    runner = Stopped()
    runner.told = True

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    steps = (Check(stop, "look", always=True), *plan(finish=True).steps)
    with pytest.raises(CheckpointError) as raised:
        apply_plan(runner, Plan(steps=steps))
    assert raised.value.reason == "interrupted"
    assert runner.ended == ["last"]


@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_each_signal_that_asks_to_stop_runs_the_always_steps(number: signal.Signals) -> None:
    runner = Stopped(number=number)
    with pytest.raises(CheckpointError) as raised:
        apply_plan(runner, plan(finish=False))
    assert number.name in raised.value.message
    assert runner.ended == ["last"]


def test_a_child_that_has_not_executed_its_program_yet_ends_as_that_would(capfd: pytest.CaptureFixture[str]) -> None:
    """As in the soak run of 2026-11-29: logging printed the traceback of a child between fork and exec."""
    with watched(), stoppable():
        pid = os.fork()
        if pid == 0:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os._exit(0)
        status = os.waitpid(pid, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert "Interrupted" not in capfd.readouterr().err


def test_a_signal_after_the_result_does_not_change_the_exit_status() -> None:
    with watched(last=True):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_a_second_stop_does_not_cut_off_the_always_steps() -> None:
    ran = []

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        ran.append("twice")

    steps = (Check(lambda: os.kill(os.getpid(), signal.SIGHUP), "first"), Check(twice, "clean up", always=True))
    with pytest.raises(CheckpointError) as raised:
        apply_plan(Stopped(), Plan(steps=steps))
    assert raised.value.reason == "interrupted" and "cleanup_failed" not in raised.value.facts
    assert ran == ["twice"]


@pytest.mark.parametrize(
    "error",
    [ValueError("embedded\nnull byte"), RecursionError(), MemoryError(), UnicodeDecodeError("utf-8", b"", 0, 1, "")],
)
def test_an_error_that_nobody_foresaw_is_one_line_and_runs_the_always_steps(error: Exception) -> None:
    runner = Stopped()
    runner.told = True

    def raise_it() -> None:
        raise error

    with pytest.raises(CheckpointError) as raised:
        apply_plan(runner, Plan(steps=(Check(raise_it, "compare the labels"), *plan(finish=True).steps)))
    assert raised.value.reason == "internal" and "\n" not in raised.value.message
    assert (
        raised.value.message.startswith("Cannot compare the labels: ") and type(error).__name__ in raised.value.message
    )
    assert runner.ended == ["last"]


def test_an_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        runner = Stopped(number=signal.SIGHUP)
        apply_plan(runner, plan(finish=False))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert runner.ended == ["dump", "next", "last"]


@pytest.mark.parametrize(("rc", "stopped", "left"), [(0, False, True), (1, False, False), (0, True, True)])
def test_a_partial_file_is_removed_only_when_its_writer_has_ended(
    tmp_path: Path, rc: int, stopped: bool, left: bool
) -> None:
    partial = tmp_path / "archive.partial"
    partial.write_text("half")
    runner = Stopped(rc=rc)
    runner.told = not stopped
    plan = Plan(steps=(Command(("tar",), why="pack", creates_partial=str(partial)),))
    if rc or stopped:
        with pytest.raises(CheckpointError):
            apply_plan(runner, plan)
    else:
        apply_plan(runner, plan)
    assert partial.exists() is left


def test_a_command_that_fails_tells_that_and_not_the_stop() -> None:
    with pytest.raises(CheckpointError) as raised:
        apply_plan(Stopped(rc=1), plan(finish=True))
    assert raised.value.reason == "tool_failed"


def test_a_folder_is_put_in_place_with_private_files(tmp_path: Path) -> None:
    source = tmp_path / "part"
    source.mkdir(mode=0o700)
    (source / "pages.img").write_bytes(b"memory")
    (source / "pages.img").chmod(0o644)
    (source / "parent").symlink_to("../elsewhere")
    apply_plan(Stopped(), Plan(steps=(Rename(str(source), str(tmp_path / "images"), mode=0o600),)))
    assert stat.S_IMODE((tmp_path / "images").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "images/pages.img").stat().st_mode) == 0o600
    assert (tmp_path / "images/parent").is_symlink() and not source.exists()


class Slow:
    """A runner whose command takes too long; it notes the limit that it was given."""

    limit: float | None = None

    def run(self, argv: Sequence[str], *, limit: float | None = None, **dummy_options: Any) -> Completed:
        self.limit = limit
        return Completed(tuple(argv), TIMED_OUT, "", "it did not end in 7 seconds")

    def which(self, name: str) -> str:
        return name


def test_a_command_that_takes_too_long_has_a_reason_of_its_own() -> None:
    runner = Slow()
    with pytest.raises(CheckpointError) as raised:
        apply_plan(runner, Plan(steps=(Command(("dump",), why="dump", finish=True, time_limit=7.0),)))
    assert (raised.value.reason, runner.limit) == ("timed_out", 7.0)
    assert raised.value.message.startswith("Cannot dump: it did not end in 7 s.")
