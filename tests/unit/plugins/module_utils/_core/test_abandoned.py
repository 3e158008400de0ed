# SPDX-License-Identifier: GPL-3.0-or-later
"""A command at a pipe ends when all at the other end was killed; the commands are real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.abandoned import served
from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import hold
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("exec 3<>pipe; head -c 3000000 /dev/zero >&3", id="writes-and-could-read"),
        pytest.param("head -c 3000000 /dev/zero >pipe", id="writes"),
        pytest.param("cat pipe; cat pipe", id="reads-twice"),
    ],
)
def test_the_command_ends(tmp_path: Path, script: str) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with subprocess.Popen(["sh", "-c", script], cwd=tmp_path) as child, served(str(tmp_path / "pipe")):
        assert child.wait(300) == 0


def test_what_is_no_pipe_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link", "nothing"):
        with served(str(tmp_path / name)):
            pass
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept"


# Holds a lock of the task, and runs a command that holds one of its own, as podman does that of the container.
TASK = """
import os, sys
from ansible_collections.criu.hosts.plugins.module_utils._core.command import to_end
from ansible_collections.criu.hosts.plugins.module_utils._core.feed import Feed
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import hold
from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Stream
kind, script = sys.argv[1:]
stream = Stream("pipe", "archive", print) if kind == "export" else Feed("pipe", "archive", ("cat",))
with hold(os.path.abspath("locks/task"), "container"):
    to_end(["sh", "-c", "exec 9>podman.lock; flock 9; " + script], stream=stream)
"""
SCRIPTS = {
    # Opens the pipe for both directions, as podman does: it gets no SIGPIPE.
    "export": "exec 3<>pipe; echo >ready; until [ -e go ]; do sleep 0.05; done; head -c 3000000 /dev/zero >&3",
    "import": "cat pipe >first; echo >ready; until [ -e go ]; do sleep 0.05; done; cat pipe >second",
}


def wait_for(path: Path) -> None:
    last = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < last, f"{path.name} did not come"
        time.sleep(0.02)


def python_descendants(pid: int) -> list[int]:
    """Returns the process and those below it that run Python: the task, its guardian, and the one at the pipe."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    python = os.readlink(f"/proc/{pid}/exe")
    return [one for one in found if os.path.exists(f"/proc/{one}/exe") and os.readlink(f"/proc/{one}/exe") == python]


@pytest.mark.parametrize("kind", list(SCRIPTS))
def test_the_next_task_frees_a_command_whose_task_was_killed_by_name(tmp_path: Path, kind: str) -> None:
    """All processes of the task are killed at once; its command holds the container, and the next task has to look."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "archive").write_bytes(b"archive" if kind == "import" else b"")
    given: dict[str, Any] = {"cwd": tmp_path, "start_new_session": True}
    task = subprocess.Popen([sys.executable, "-c", TASK, kind, f"{SCRIPTS[kind]}; echo >ended"], **given)
    wait_for(tmp_path / "ready")
    killed = python_descendants(task.pid)
    assert len(killed) == 3, "the task, its guardian, and the process at the pipe"
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    task.wait(300)
    (tmp_path / "go").touch()
    ctx = Context({}, ProgramRunner(), False, Paths(str(tmp_path)))
    with hold(str(tmp_path / "locks/task"), "container", 60), ctx.ending(str(tmp_path / "pipe")):
        look = subprocess.run(["flock", "podman.lock", "cat", "ended"], cwd=tmp_path, timeout=300, check=False)
    assert look.returncode == 0, "the command has ended, and has let the container go"
    if kind == "import":
        assert (tmp_path / "first").read_bytes() == b"archive" and (tmp_path / "second").read_bytes() == b""
