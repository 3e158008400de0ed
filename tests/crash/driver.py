# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module, or the program of stateful units, as Ansible or systemd does, and report and disturb its steps.

driver.py ORDER   with ORDER, an object of JSON:

  module, args      a module and its parameters; or
  words             the arguments of the program of stateful units
  events, go        descriptors: one line of JSON for each boundary of a step is written to events; at ``pause`` the
                    task waits for a byte from go
  pause             [number of a step, "before", "inside" or "after"]; inside: at its first fsync
  fail              [number of a step, errno, "first" or "sync"]: its file operations fail, all or fsync only
  hold              seconds to wait for the lock of a thing
  clock             seconds by which the clock of the task is wrong; that of the kernel and of podman stays
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from contextlib import contextmanager
from typing import Any, Iterator

PACKAGE = "ansible_collections.criu.hosts.plugins"
# What changes a file system; opening a file to read it does not.
FIRST = ("mkdir", "unlink", "remove", "rmdir", "rename", "replace", "symlink", "link", "chmod", "truncate", "fsync")
SYNC = ("fsync",)


def text_of(step: Any) -> str:
    """Return a short description of a step."""
    detail = " ".join(step.argv) if hasattr(step, "argv") else str(getattr(step, "path", getattr(step, "target", "")))
    return f"{type(step).__name__} {getattr(step, 'why', '')}: {detail}"[:160]


@contextmanager
def failing(number: int, which: str) -> Iterator[None]:
    """Let file operations fail with this errno in the block."""

    def fail(*dummy: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    opened = os.open

    def open_to_read(path: Any, flags: int, *args: Any, **options: Any) -> int:
        return fail() if flags & os.O_CREAT else opened(path, flags, *args, **options)

    names = FIRST if which == "first" else SYNC
    saved = {name: getattr(os, name) for name in names}
    for name in names:
        setattr(os, name, fail)
    if which == "first":
        os.open = open_to_read
    try:
        yield
    finally:
        os.open = opened
        for name, function in saved.items():
            setattr(os, name, function)


class Watch:
    """Counts the steps of this process; reports each boundary, waits at one of them, lets one of them fail."""

    def __init__(self, order: dict[str, Any], apply_step: Any) -> None:
        self.order, self.apply_step, self.count = order, apply_step, 0

    def boundary(self, number: int, when: str, step: Any) -> None:
        entry = {"step": number, "when": when, "text": text_of(step), "time": time.monotonic()}
        os.write(self.order["events"], (json.dumps(entry) + "\n").encode())
        if self.order.get("pause") == [number, when]:
            os.read(self.order["go"], 1)

    @contextmanager
    def inside(self, number: int, step: Any) -> Iterator[None]:
        """Report a boundary at the first fsync in the block, when a file with a temporary name is there."""
        fsync, reported = os.fsync, list[Any]()

        def report(descriptor: Any) -> None:
            if not reported:
                reported.append(descriptor)
                self.boundary(number, "inside", step)
            fsync(descriptor)

        os.fsync = report  # type: ignore[assignment]
        try:
            yield
        finally:
            os.fsync = fsync

    def __call__(self, runner: Any, step: Any, applied: Any) -> None:
        self.count += 1
        number = self.count
        self.boundary(number, "before", step)
        fail = self.order.get("fail")
        try:
            if self.order.get("pause") == [number, "inside"]:
                with self.inside(number, step):
                    self.apply_step(runner, step, applied)
            elif fail and fail[0] == number:
                with failing(fail[1], fail[2]):
                    self.apply_step(runner, step, applied)
            else:
                self.apply_step(runner, step, applied)
        finally:
            self.boundary(number, "after", step)


def hold_for(seconds: float) -> None:
    """Lets a task wait for a lock for so long only; the program of a unit waits for an hour otherwise."""
    package = f"{PACKAGE}.module_utils"
    importlib.import_module(f"{package}._core.lock").HOLD_SECONDS = seconds  # type: ignore[attr-defined]
    unit = importlib.import_module(f"{package}._unit.stateful.unit")
    unit.TRY_SECONDS = unit.WAIT_SECONDS = seconds  # type: ignore[attr-defined]


def set_clock(seconds: int) -> None:
    """Moves the clock that the modules read."""
    read, take_apart = time.time, time.gmtime

    def gmtime(when: Any = None) -> time.struct_time:
        return take_apart(time.time() if when is None else when)

    time.time = lambda: read() + seconds
    time.gmtime = gmtime


def carry_out(order: dict[str, Any]) -> None:
    """Carry out the order."""
    for name in ("events", "go"):
        os.set_inheritable(order[name], False)
    core = f"{PACKAGE}.module_utils._core"
    apply = importlib.import_module(f"{core}.apply")
    apply.apply_step = Watch(order, apply.apply_step)  # type: ignore[attr-defined]
    if order.get("hold") is not None:
        hold_for(order["hold"])
    if order.get("clock"):
        set_clock(order["clock"])
    if "words" in order:
        program = importlib.import_module(f"{PACKAGE}.module_utils._unit.stateful.main")
        sys.exit(program.main(["unit", *order["words"]]))
    from ansible.module_utils import basic

    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": order["args"]}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    sys.argv = [order["module"]]
    importlib.import_module(f"{PACKAGE}.modules.{order['module']}").main()


def main() -> None:
    """Carry out the order of the command line."""
    carry_out(json.loads(sys.argv[1]))


if __name__ == "__main__":
    main()
