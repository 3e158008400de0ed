# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends what would not end by itself: by time of the processor, far above what any sound parser takes, and by memory."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from contextlib import contextmanager
from typing import Any, Callable, Iterator

# Of the processor, for one input. A parser takes milliseconds, an endless one any time.
SECONDS = 20
# Beyond what the process has: a parser that believes a length takes more.
MEMORY = 768 << 20


class Endless(Exception):
    """The input has taken SECONDS of the processor."""


def _stop(dummy_number: int, dummy_frame: Any) -> None:
    raise Endless(f"not finished after {SECONDS} s of the processor")


def _size() -> int:
    with open("/proc/self/statm", encoding="ascii") as handle:
        return int(handle.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def little_memory() -> Iterator[None]:
    """Lets the process grow by MEMORY only; MemoryError follows."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_size() + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def ends() -> Iterator[None]:
    """Raises Endless in the block once it has taken SECONDS of the processor."""
    before = signal.signal(signal.SIGVTALRM, _stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def failure_in_child(call: Callable[[], Any], seconds: int = SECONDS) -> str:
    """Runs ``call`` in a child with these limits; returns how it failed, empty if it ended.

    The kernel ends the child: also one that is inside a regular expression, which no exception could reach.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_AS, (_size() + MEMORY, resource.RLIM_INFINITY))
            call()
            code = 0
        except BaseException:  # noqa: BLE001 -- the child has no other way to report
            os.write(writing, traceback.format_exc(limit=-4)[-2000:].encode("utf-8", "backslashreplace"))
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"not finished after {seconds} s of the processor"
    return said or (f"exit status {status}" if status else "")
