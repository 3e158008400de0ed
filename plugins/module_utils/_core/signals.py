# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns signals that stop a task into an exception, or defers them."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError


class Interrupted(CheckpointError):
    """The task was asked to stop (SIGTERM, SIGHUP): raised so that always-steps still run."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turns SIGTERM and SIGHUP (a lost connection) into an exception for the time of the block."""

    def stop(number: int, dummy_frame: Any) -> None:
        raise Interrupted(
            f"Stopped by {signal.Signals(number).name} before the work was complete. Run the task again.",
            reason="interrupted",
        )

    numbers = (signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Defers SIGTERM and SIGHUP until the block ends; drops them if it raises, which ends the work as well."""
    stops: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, lambda got, dummy_frame: stops.append(got)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if stops:
        signal.raise_signal(stops[0])
