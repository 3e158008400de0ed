# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that run to their end whatever happens to the task; with real processes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner, to_end
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.session import TIMED_OUT
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import STOPS

TASK = """
import fcntl, os, sys
from ansible_collections.criu.hosts.plugins.module_utils._core.command import to_end
lock = os.open(sys.argv[1] + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
fcntl.flock(lock, fcntl.LOCK_EX)
to_end(["sh", "-c", "echo >begun; until [ -e go ]; do sleep 0.05; done; echo >ended"], cwd=sys.argv[1])
open(sys.argv[1] + "/returned", "w")
"""


def wait_for(path: Path) -> None:
    last = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < last, f"{path.name} did not come"
        time.sleep(0.02)


def start(folder: Path) -> subprocess.Popen[bytes]:
    task = subprocess.Popen([sys.executable, "-c", TASK, str(folder)], start_new_session=True)
    wait_for(folder / "begun")
    return task


def test_output_and_status_come_back() -> None:
    done = to_end(["sh", "-c", "cat; echo err >&2; exit 3"], stdin="in\udcff")
    assert (done.rc, done.out, done.err) == (3, "in\udcff", "err\n")


def test_a_missing_program_is_one_line() -> None:
    with pytest.raises(CheckpointError) as raised:
        to_end(["/nowhere/criu"])
    assert raised.value.reason == "tool_missing"


@pytest.mark.parametrize("finish", [False, True])
def test_an_argument_with_a_nul_is_one_line(finish: bool) -> None:
    with pytest.raises(CheckpointError) as raised:
        ProgramRunner().run(["true", "a\0b"], finish=finish)
    assert raised.value.reason == "tool_missing"


@pytest.mark.parametrize("finish", [False, True])
def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path, finish: bool) -> None:
    script = f"sleep 600 & echo $! >{tmp_path}/child; wait"
    done = ProgramRunner(limit=1.0).run(["sh", "-c", script], finish=finish)
    assert done.rc == TIMED_OUT
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    last = time.monotonic() + 60
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < last
        time.sleep(0.02)


def ended(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_a_command_that_hangs_has_left_in_other_sessions_is_killed(tmp_path: Path) -> None:
    """Conmon is such, and with it a container that is half restored."""
    left = f"sh -c 'echo $$ >{tmp_path}/left; exec sleep 600'"
    done = to_end(["sh", "-c", f"setsid {left} & until [ -e {tmp_path}/left ]; do sleep 0.05; done; wait"], limit=2.0)
    assert done.rc == TIMED_OUT
    assert ended((tmp_path / "left").read_text().strip())


def test_what_a_command_that_ends_in_time_has_left_lives_on(tmp_path: Path) -> None:
    left = f"sh -c 'echo $$ >{tmp_path}/left; exec sleep 600' >/dev/null 2>&1 </dev/null"
    done = to_end(["sh", "-c", f"setsid {left} & until [ -e {tmp_path}/left ]; do sleep 0.05; done"], limit=60.0)
    pid = (tmp_path / "left").read_text().strip()
    alive = not ended(pid)
    os.kill(int(pid), signal.SIGKILL)
    assert done.rc == 0 and alive


def test_criu_is_ended_first_so_that_the_runtime_cleans_up(tmp_path: Path) -> None:
    criu = tmp_path / "criu"
    criu.symlink_to("/bin/sleep" if Path("/bin/sleep").resolve().name == "sleep" else "/usr/bin/sleep")
    script = f"{criu} 600 || echo >{tmp_path}/cleaned"
    assert to_end(["sh", "-c", script], limit=1.0).rc == TIMED_OUT
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("number", [*STOPS, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_to_the_whole_group_of_the_task_does_not_end_the_command(
    tmp_path: Path, number: signal.Signals
) -> None:
    task = start(tmp_path)
    os.killpg(task.pid, number)
    assert task.wait(60) != 0
    lock = os.open(tmp_path / "lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):  # its guardian still holds the lock of the task
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (tmp_path / "go").touch()
    fcntl.flock(lock, fcntl.LOCK_EX)  # free when the command has ended
    os.close(lock)
    assert (tmp_path / "ended").exists() and not (tmp_path / "returned").exists()
