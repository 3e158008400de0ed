# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends what would not end by itself: by time of the processor, far above what any sound parser takes, and by memory."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections import Counter
from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator

# How many inputs each target gets.
EACH = int(os.environ.get("FUZZ_EACH", "100"))
# With a seed, which `make fuzz` gives, the inputs differ from those of `make test`.
SEED = os.environ.get("FUZZ_SEED", "")
# Whether this is the long run: with larger texts, and with the tests that are marked long_run.
LONG = bool(SEED)
# How many inputs each target got: here, as pytest imports a test file under a name of its own.
TRIED: Counter[str] = Counter()
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


Work = Callable[[], Any]


def failures_in_child(works: Iterable[tuple[str, Work]], seconds: int = SECONDS) -> dict[str, str]:
    """Carries out ``works`` in a child with these limits for each; returns how some failed, by name.

    The kernel ends the child: also one that is inside a regular expression, which no exception could reach. Then a new
    child goes on behind that work.
    """
    failures: dict[str, str] = {}
    left = list(works)
    while left:
        said, status = _in_child([work for dummy_name, work in left], seconds)
        for number, text in said:
            failures[left[number][0]] = text
        done = max((number for number, dummy_text in said), default=0)
        if status == 0:
            break
        ended = f"not finished after {seconds} s of the processor" if status == -signal.SIGPROF else f"status {status}"
        number, text = said[-1] if said else (0, "")
        failures[left[number][0]] = text or ended
        left = left[done + 1 :]
    return {name: text for name, text in failures.items() if text}


def _in_child(works: list[Work], seconds: int) -> tuple[list[tuple[int, str]], int]:
    """Returns the number of each work that a child has begun, with how it failed, and the child's exit status."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_AS, (_size() + MEMORY, resource.RLIM_INFINITY))
            for number, work in enumerate(works):
                os.write(writing, f"{number}\n".encode())
                signal.setitimer(signal.ITIMER_PROF, seconds)
                try:
                    work()
                except BaseException:  # noqa: BLE001 -- the child has no other way to report
                    text = traceback.format_exc(limit=-4)[-2000:]
                    os.write(writing, f"{number} {text!r}\n".encode("utf-8", "backslashreplace"))
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().decode("utf-8", "replace").splitlines()
    rows = [line.partition(" ") for line in lines]
    said = [(int(number), text) for number, dummy_blank, text in rows]
    return said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
