# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a task in a process group of its own, stop it at a boundary of a step, send signals, and read its result."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DRIVER = Path(__file__).with_name("driver.py")
# A task that has not ended by then hangs.
SECONDS = 120.0


@dataclass(frozen=True)
class Call:
    """A module with its parameters, or the words of the program of stateful units with its environment."""

    module: str = ""
    args: dict[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def order(self) -> dict[str, Any]:
        return {"words": list(self.words)} if self.words else {"module": self.module, "args": self.args}

    @property
    def text(self) -> str:
        return f"unit {' '.join(self.words)}" if self.words else self.module


@dataclass
class Result:
    """The end of a task. ``data`` is its result; None if it has printed none, or something else."""

    call: Call
    rc: int
    out: str
    err: str
    data: dict[str, Any] | None
    steps: list[dict[str, Any]]

    @property
    def failed(self) -> bool:
        return self.rc != 0 or bool((self.data or {}).get("failed"))

    @property
    def reason(self) -> str:
        return str((self.data or {}).get("reason", ""))

    @property
    def line(self) -> str:
        """The failure in one line."""
        text = (self.data or {}).get("msg") or self.err or self.out or "no output"
        return (
            f"{self.call.text}: exit status {self.rc}, reason {self.reason or 'none'}: {' '.join(text.split())[-400:]}"
        )


class Task:
    """One task that runs."""

    def __init__(self, call: Call, **order: Any) -> None:
        self.call, self.steps = call, list[dict[str, Any]]()
        self.files = [tempfile.TemporaryFile() for dummy in range(2)]  # noqa: SIM115 -- finish closes them
        self.events, events = os.pipe()
        go, self.go_fd = os.pipe()
        text = json.dumps({**call.order, **order, "events": events, "go": go})
        self.process = subprocess.Popen(
            [sys.executable, str(DRIVER), text],
            stdin=subprocess.DEVNULL,
            stdout=self.files[0],
            stderr=self.files[1],
            pass_fds=(events, go),
            start_new_session=True,
            env={**os.environ, **call.environment},
        )
        os.close(events)
        os.close(go)
        self.unread = b""

    def _read(self, seconds: float) -> None:
        if not select.select([self.events], [], [], seconds)[0]:
            return
        data = os.read(self.events, 1 << 16)
        if not data:  # everything that could report is gone
            time.sleep(0.01)
        *lines, self.unread = (self.unread + data).split(b"\n")
        self.steps += [json.loads(line) for line in lines]

    def reached(self, number: int, when: str) -> bool:
        """Wait until the task is at a boundary; return False if it ends before."""
        last = time.monotonic() + SECONDS
        while time.monotonic() < last:
            ended = self.process.poll() is not None
            self._read(0 if ended else 0.02)
            if any((one["step"], one["when"]) == (number, when) for one in self.steps):
                return True
            if ended:
                return False
        return False

    def send(self, number: int) -> None:
        """Send a signal to the process group of the task."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def go(self) -> None:
        """Let a task go on that waits at a boundary."""
        try:
            os.write(self.go_fd, b".")
        except BrokenPipeError:
            pass

    def finish(self) -> Result:
        """Wait for the end of the task. One that hangs is killed: its exit status is that of SIGKILL."""
        last = time.monotonic() + SECONDS
        while self.process.poll() is None and time.monotonic() < last:
            self._read(0.02)
        if self.process.poll() is None:
            self.send(signal.SIGKILL)
        rc = self.process.wait()
        self._read(0)
        os.close(self.events)
        os.close(self.go_fd)
        texts = []
        for file in self.files:
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
            file.close()
        try:
            data = json.loads(texts[0])
        except ValueError:
            data = None
        return Result(self.call, rc, texts[0], texts[1], data if isinstance(data, dict) else None, self.steps)


def run(call: Call, **order: Any) -> Result:
    """Run a task from beginning to end."""
    return Task(call, **order).finish()
