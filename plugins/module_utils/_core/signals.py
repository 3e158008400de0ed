# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns signals that stop a task into an exception where work may be left, and defers them everywhere else."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

# A stop by hand or by systemd, a lost connection, Ctrl-C, Ctrl-\.
STOPS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


class Interrupted(CheckpointError):
    """The task was asked to stop: raised so that always-steps still run."""

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        message = f"Stopped by {name} before the work was complete. Run the task again."
        super().__init__(message, reason="interrupted")


@dataclass
class _State:
    """Signals concern the whole process. ``waiting`` are those that were deferred."""

    stoppable: bool = False
    waiting: list[int] = field(default_factory=list)
    pid: int = 0


_state = _State()


def _stop(number: int, dummy_frame: Any) -> None:
    if not _state.stoppable:
        _state.waiting.append(number)
        return
    if os.getpid() != _state.pid:
        # A child before it executes its program: it ends as that would. An exception would be printed and lost.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    _state.stoppable = False  # one exception is enough to end the work, and the next one would end the clean-up
    raise Interrupted(number)


@contextmanager
def watched(*, last: bool = False) -> Iterator[None]:
    """Defers the signals in STOPS for the time of the block; inside it, ``stoppable`` raises them.

    A signal that the caller ignores (nohup) stays ignored. Outside the main thread no handler can be set. ``last``: the
    process ends after the block, and its result is known: a signal must not change its exit status any more.
    """
    previous: dict[int, Any] = {}
    before, _state.stoppable = _state.stoppable, False
    _state.pid = os.getpid()
    try:
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, _stop)
    except ValueError:
        pass
    try:
        yield
    finally:
        for known, handler in previous.items():
            signal.signal(known, signal.SIG_IGN if last else handler)
        _state.stoppable = before
        if not before:
            _state.waiting.clear()


def raise_waiting() -> None:
    """Raises Interrupted for a signal that was deferred."""
    if _state.waiting:
        raise Interrupted(_state.waiting.pop(0))


@contextmanager
def stoppable(really: bool = True) -> Iterator[None]:
    """Raises Interrupted as soon as a signal of STOPS comes in the block, also for one that came before it."""
    before = _state.stoppable
    try:
        if really:
            raise_waiting()
            _state.stoppable = True
        yield
    finally:
        _state.stoppable = before
