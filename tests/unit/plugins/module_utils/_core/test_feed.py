# SPDX-License-Identifier: GPL-3.0-or-later
"""A pipe that is read several times, as podman reads the archive of an import; with real filters and readers."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_plan
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.feed import ERROR_LIMIT, Fed, Feed, feed
from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import FILTER_KILLED
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Plan

DATA = os.urandom(1 << 20) * 3
WHOLE = hashlib.sha256(DATA).hexdigest()
CAT = ("cat",)
# Opens the pipe once for each number, and reads so many bytes, or all for -1.
READER = """
import hashlib, sys
for number in map(int, sys.argv[2:]):
    with open(sys.argv[1], "rb") as handle:
        print(hashlib.sha256(handle.read(number)).hexdigest())
"""


@pytest.fixture(name="pipe")
def pipe_fixture(tmp_path: Path) -> Path:
    (tmp_path / "data").write_bytes(DATA)
    os.mkfifo(tmp_path / "pipe", 0o600)
    return tmp_path / "pipe"


def read(pipe: Path, *numbers: int, argv: tuple[str, ...] = CAT) -> tuple[list[str], Fed]:
    def run() -> list[str]:
        command = [sys.executable, "-c", READER, str(pipe), *map(str, numbers)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    return feed(Feed(str(pipe), str(pipe.parent / "data"), argv), run)


@pytest.mark.parametrize("numbers", [(-1,), (-1, -1), (-1, -1, -1)])
def test_each_reader_gets_all(pipe: Path, numbers: tuple[int, ...]) -> None:
    assert read(pipe, *numbers) == ([WHOLE] * len(numbers), Fed(len(numbers), 0, ""))
    assert sorted(os.listdir(pipe.parent)) == ["data", "pipe"]
    assert pipe.stat().st_mode & 0o777 == 0o600


def test_a_reader_that_stops_early_leaves_nothing_for_the_next(pipe: Path) -> None:
    first = hashlib.sha256(DATA[:5]).hexdigest()
    assert read(pipe, 5, 5, -1) == ([first, first, WHOLE], Fed(3, 0, ""))


def test_no_reader(pipe: Path) -> None:
    assert read(pipe) == ([], Fed(0, 0, ""))


def test_a_filter_that_fails_at_the_end_is_seen_by_a_reader_that_stopped_before(pipe: Path) -> None:
    argv = ("sh", "-c", "cat; echo damaged >&2; exit 3")
    dummy, fed = read(pipe, 5, argv=argv)
    assert fed == Fed(1, 3, "damaged\n")


def test_the_first_failure_counts(pipe: Path) -> None:
    argv = ("sh", "-c", f"cat; test -e {pipe.parent}/seen || {{ touch {pipe.parent}/seen; echo once >&2; exit 1; }}")
    assert read(pipe, -1, -1, argv=argv) == ([WHOLE] * 2, Fed(2, 1, "once\n"))


def test_a_filter_that_is_not_there(pipe: Path) -> None:
    found, fed = read(pipe, -1, -1, argv=("/nothing/of/the/kind",))
    assert (
        found == [hashlib.sha256(b"").hexdigest()] * 2
        and fed.times == 2
        and fed.rc
        and "/nothing/of/the/kind" in fed.error
    )


def test_a_file_that_is_not_there(pipe: Path) -> None:
    (pipe.parent / "data").unlink()
    dummy, fed = read(pipe, -1)
    assert fed.rc and fed.error.startswith("No such file or directory")


def test_long_errors_are_cut(pipe: Path) -> None:
    dummy, fed = read(pipe, -1, argv=("sh", "-c", "yes | head -c 100000 >&2; exit 1"))
    assert len(fed.error) == ERROR_LIMIT


def test_a_filter_that_is_killed(pipe: Path) -> None:
    dummy, fed = read(pipe, -1, argv=("sh", "-c", "kill -9 $$"))
    assert fed.rc == -signal.SIGKILL


def test_a_command_that_fails(pipe: Path) -> None:
    def run() -> None:
        raise OSError(2, "no such program")

    with pytest.raises(OSError, match="no such program"):
        feed(Feed(str(pipe), str(pipe.parent / "data"), CAT), run)


@pytest.mark.parametrize("asked", ["begin", "read once"])
def test_the_command_ends_when_the_process_that_feeds_is_killed(
    pipe: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """Podman waits at its second open, before which the process is killed; without anybody there, it would for ever."""
    forked: list[int] = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forked.append(fork()) or forked[-1])
    steps = {"begin": "", "read once": "cat pipe >/dev/null; "}

    def run() -> int:
        script = f"{steps[asked]}echo ready; read dummy; cat pipe pipe"
        given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": pipe.parent}
        with subprocess.Popen(["sh", "-c", script], **given) as child:  # type: ignore[call-overload]
            try:
                assert child.stdout.readline() == b"ready\n"
                os.kill(forked[0], signal.SIGKILL)
                child.communicate(b"go\n", timeout=300)
            finally:
                child.kill()
            return int(child.returncode)

    given = Feed(str(pipe), str(pipe.parent / "data"), CAT)
    result, streamed = given.carry(run)
    assert result == 0 and streamed.number == FILTER_KILLED
    step = Command(("true",), why="restore", stream=given, finish=True)
    monkeypatch.setattr(ProgramRunner, "run", lambda *dummy, **more: Completed(("true",), 1, "", "", 0.0, streamed))
    with pytest.raises(CheckpointError) as raised:
        apply_plan(ProgramRunner(), Plan(steps=(step,)))
    assert raised.value.reason == "file_failed" and "was killed. Run the task again." in raised.value.message


def test_what_a_killed_task_left_is_replaced(pipe: Path) -> None:
    (pipe.parent / ".pipe.criu-hosts").write_text("left")
    assert read(pipe, -1, -1)[0] == [WHOLE] * 2
