# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a task in a process group of its own, stop it at a boundary of a step, send signals, and read its result."""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

import driver

# The tasks need it, and it takes longest.
importlib.import_module("ansible.module_utils.basic")
# A task that has not ended by then hangs.
SECONDS = 120.0


@dataclass(frozen=True)
class Call:
    """A module with its parameters, or the words of the program of stateful units with its environment.

    ``clock``: how many seconds the clock of the task is wrong.
    """

    module: str = ""
    args: dict[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    clock: int = 0

    @property
    def order(self) -> dict[str, Any]:
        what = {"words": list(self.words)} if self.words else {"module": self.module, "args": self.args}
        return {**what, "clock": self.clock}

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


class Process:
    """A fork of this process that carries out an order. What all tasks need is imported once, so each starts at once.

    The modules of the collection are imported by the task itself, since they note when it has begun.
    """

    def __init__(
        self, order: dict[str, Any], files: list[int], keep: tuple[int, ...], environment: dict[str, str]
    ) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                status = self._work(order, files, keep, environment)
            finally:
                os._exit(status)

    @staticmethod
    def _work(order: dict[str, Any], files: list[int], keep: tuple[int, ...], environment: dict[str, str]) -> int:
        os.setsid()
        os.environ.update(environment)
        for number, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *files]):
            os.dup2(descriptor, number)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) not in keep:
                try:
                    os.close(int(name))
                except OSError:
                    pass  # that of the list itself
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        status = 0
        try:
            driver.carry_out(json.loads(json.dumps(order)))  # as on a command line: lists, no tuples
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:  # noqa: BLE001 -- as Python does
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        return status

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int:
        """Wait for the end; return the exit status."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


class Task:
    """One task that runs."""

    def __init__(self, call: Call, **order: Any) -> None:
        self.call, self.steps = call, list[dict[str, Any]]()
        self.files = [tempfile.TemporaryFile() for dummy in range(2)]  # noqa: SIM115 -- finish closes them
        self.events, events = os.pipe()
        go, self.go_fd = os.pipe()
        whole = {**call.order, **order, "events": events, "go": go}
        self.process = Process(whole, [file.fileno() for file in self.files], (events, go), call.environment)
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
