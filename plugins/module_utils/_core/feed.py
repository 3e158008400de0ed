# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lets a command read from a named pipe what a filter makes of a file, as often as it opens the pipe.

Podman opens the archive of an import twice: for the description of the container, and for all else (5.4.2,
pkg/checkpoint/crutils). One pipe cannot serve both: a reader that closes late would get what is meant for the next. So
each reader has a pipe of its own: as soon as one is open, a new one takes its name, before anything is written. If the
process that does so is killed, this one ends what is read from then on: a reader would wait for ever.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import Any, Callable, NoReturn, TypeVar

from ansible_collections.criu.hosts.plugins.module_utils._core.abandoned import serve
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import temporary_path
from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import (
    ERROR_LIMIT,
    FILTER_FAILED,
    FILTER_KILLED,
    Streamed,
)

T = TypeVar("T")
_PIECE = 1 << 20
# How often to look whether a reader has come, or will not come any more.
_PAUSE = 0.02
# Of a stream that was only read.
NOTHING = Streamed(fault="")


@dataclass(frozen=True)
class Feed:
    """A process that opens ``pipe``, which exists, reads what the filter ``argv`` makes of the file ``path``.

    ``failed`` turns what the filter says about its failure into that of the task.
    """

    pipe: str
    path: str
    argv: tuple[str, ...]
    failed: Callable[[str], CheckpointError] | None = None

    def carry(self, run: Callable[[], T]) -> tuple[T, Streamed]:
        """Calls ``run``, whose command reads from the pipe; returns its result, and how the filter has ended."""
        result, fed = feed(self, run)
        if not fed.rc:
            return result, NOTHING
        number = FILTER_KILLED if fed == Fed() else FILTER_FAILED
        return result, Streamed(fault=fed.error or f"exit status {fed.rc}", number=number)

    def done(self, dummy: Streamed) -> None:
        """Nothing is stored that anybody would have to know."""


@dataclass(frozen=True)
class Fed:
    """How often the pipe was read; ``rc`` and ``error`` are of the first run of the filter that failed."""

    times: int = 0
    rc: int = -signal.SIGKILL
    error: str = "the process that reads it for the command was killed"


def feed(given: Feed, run: Callable[[], T]) -> tuple[T, Fed]:
    """Calls ``run``, whose command reads from the pipe; returns its result, and how the filter has ended.

    A process of its own runs the filter, so that neither side ends the other. A reader may stop before the end, since
    tar archives have one of their own; the filter is run to its end all the same, as only there it knows whether the
    file was whole.
    """
    ended, running = os.pipe()
    answer, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(running)
        os.close(answer)
        _child(given, ended, telling)
    os.close(ended)
    os.close(telling)
    found: list[Fed] = []
    stop = threading.Event()
    waiting = threading.Thread(target=lambda: found.append(_wait(given.pipe, pid, answer, stop)))
    waiting.start()
    try:
        result = run()
    finally:
        stop.set()
        os.close(running)
        waiting.join()
    return result, found[0] if found else Fed()


def _wait(pipe: str, pid: int, answer: int, stop: threading.Event) -> Fed:
    """Waits for the process that feeds; if it ends before the command, stands at the pipe in its place."""
    with open(answer, "rb") as handle:
        data = handle.read()
    os.waitpid(pid, 0)
    serve(pipe, stop)
    try:
        return Fed(*json.loads(data))
    except (ValueError, TypeError):
        return Fed()


def _child(given: Feed, ended: int, telling: int) -> NoReturn:
    try:
        try:
            result: tuple[Any, ...] = _serve(given, ended)
        except OSError as error:
            result = (0, *_fault(error))
        with open(telling, "wb") as handle:
            handle.write(json.dumps(result).encode())
    finally:
        os._exit(0)


def _serve(given: Feed, ended: int) -> tuple[int, int, str]:
    """Runs the filter for each reader, until the command has ended."""
    times, rc, said = 0, 0, ""
    while True:
        writing = _opened(given.pipe, ended)
        if writing is None:
            return times, rc, said
        try:
            _renew(given.pipe)
            times += 1
            code, text = _run(given, writing)
        except OSError as error:
            # A second reader would wait for ever if none served it.
            code, text = _fault(error)
        finally:
            os.close(writing)
        if code and not rc:
            rc, said = code, text


def _fault(error: OSError) -> tuple[int, str]:
    return 1, f"{error.strerror}: {error.filename}"


def _opened(pipe: str, ended: int) -> int | None:
    """Waits for a reader; returns the pipe to write into, or None if the command has ended."""
    while True:
        try:
            writing = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # ENXIO: nobody reads yet
            if select.select([ended], [], [], _PAUSE)[0]:
                return None
            continue
        os.set_blocking(writing, True)
        return writing


def _renew(pipe: str) -> None:
    new = temporary_path(pipe)
    if os.path.lexists(new):
        os.unlink(new)
    os.mkfifo(new, 0o600)
    os.rename(new, pipe)


def _run(given: Feed, writing: int) -> tuple[int, str]:
    """Runs the filter once; returns its exit status, and what it says about a failure."""
    with open(given.path, "rb") as source, tempfile.TemporaryFile() as errors:
        with subprocess.Popen(given.argv, stdin=source, stdout=subprocess.PIPE, stderr=errors) as child:
            if child.stdout is not None:
                _copy(child.stdout.fileno(), writing)
        errors.seek(0)
        return child.returncode, errors.read(ERROR_LIMIT).decode("utf-8", "replace")


def _copy(reading: int, writing: int) -> None:
    """Copies all; when nobody reads any more, the rest is only read."""
    wanted = True
    for data in iter(lambda: os.read(reading, _PIECE), b""):
        rest = memoryview(data)
        while rest and wanted:
            try:
                rest = rest[os.write(writing, rest) :]
            except BrokenPipeError:
                wanted = False
