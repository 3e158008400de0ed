# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Stores what a command writes into a named pipe: compression, digest and file are one pass.

A process of its own reads the pipe, so that the command, its guardian and this one do not end each other. If it fails,
the rest of the pipe is still read: a command that cannot write would wait for ever, since one that opens the pipe for
reading as well, as podman does, gets no SIGPIPE. The caller learns the fault when the command has ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import IO, Any, Callable, NoReturn, Tuple, TypeVar

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.files import write_file

T = TypeVar("T")
# Exit status, standard output and standard error of a command.
Ended = Tuple[int, str, str]
_PIECE = 1 << 20
# fcntl(2); Python before 3.10 does not name it. Root may have 1 MiB (/proc/sys/fs/pipe-max-size).
_SET_SIZE = 1031
# In place of an errno: the filter has failed, or its process was killed. Of what it printed, so much is kept.
FILTER_FAILED, FILTER_KILLED = -1, -2
ERROR_LIMIT = 4096


@dataclass(frozen=True)
class Stream:
    """What a command writes into the pipe ``pipe`` becomes the content of the file ``path``; both are there before it.

    ``compressor`` makes an object with ``compress`` and ``flush``, as the zlib module has it; None stores all as it is.
    ``filter`` is the argument list of a program that gets what is compressed, and prints what is stored, such as one
    that encrypts; ``failed`` turns what it says into the failure of the task. ``done`` is called when the command and
    the stream have succeeded. Then ``proof`` is there already, if it is given: a path, and what makes its text, for the
    next task if this one is killed.
    """

    pipe: str
    path: str
    done: Callable[[Streamed], None]
    compressor: Callable[[], Any] | None = None
    filter: tuple[str, ...] = ()
    failed: Callable[[str], CheckpointError] | None = None
    proof: tuple[str, Callable[[Streamed], str]] | None = None

    def carry(self, run: Callable[[], Ended]) -> tuple[Ended, Streamed]:
        """Calls ``run``, whose command writes into the pipe; returns its result, and what was stored."""
        ended, streamed = carry(self, run)
        if self.proof is not None and ended[0] == 0 and not streamed.fault:
            path, text = self.proof
            try:
                write_file(path, text(streamed), 0o600)
            except OSError:
                pass  # a task that is alive writes it again, and then says why it cannot
        return ended, streamed


@dataclass(frozen=True)
class Streamed:
    """What is in the file; ``fault`` says why it is not all that the command wrote.

    ``number`` is the errno, if any, FILTER_FAILED or FILTER_KILLED.
    """

    size_bytes: int = 0
    sha256: str = ""
    fault: str = "its reader was killed"
    number: int = 0


def carry(stream: Stream, run: Callable[[], T]) -> tuple[T, Streamed]:
    """Calls ``run``, whose command writes into the pipe, and returns its result and that of the stream.

    Raises:
        OSError: the pipe is not there.
    """
    reading = os.open(stream.pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(reading, True)
    # Without a writer of ours, the pipe would be at its end before the command has opened it.
    writing = os.open(stream.pipe, os.O_WRONLY | os.O_CLOEXEC)
    found: list[Streamed] = []
    reader = _fork(stream, reading, writing)
    waiting = threading.Thread(target=lambda: found.append(_wait(*reader, reading)))
    waiting.start()
    try:
        result = run()
    finally:
        os.close(writing)
        waiting.join()
        os.close(reading)
    return result, found[0] if found else Streamed()


def _fork(stream: Stream, reading: int, writing: int) -> tuple[int, int]:
    """Starts the process that reads; returns its pid, and where it answers."""
    answer, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.close(answer)
        _child(stream, reading, telling)
    os.close(telling)
    return pid, answer


def _child(stream: Stream, reading: int, telling: int) -> NoReturn:
    try:
        try:
            size, digest = _store(stream, reading)
            result: tuple[Any, ...] = (size, digest, "", 0)
        except FilterError as error:
            result = (0, "", str(error), FILTER_FAILED)
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None) or 0
            result = (0, "", os.strerror(number) if number else str(error), number)
        with open(telling, "wb") as handle:
            handle.write(json.dumps(result).encode())
    finally:
        os._exit(0)


class FilterError(Exception):
    """The filter has failed; the text is what it said."""


class _Sink:
    """Writes into a file, and computes its size and digest."""

    def __init__(self, descriptor: int) -> None:
        import hashlib

        self._descriptor, self._digest, self.size = descriptor, hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        _write(self._descriptor, data)
        self.size += len(data)

    def result(self) -> tuple[int, str]:
        return self.size, self._digest.hexdigest()


def _store(stream: Stream, reading: int) -> tuple[int, str]:
    """Reads the pipe to its end; returns size and SHA-256 of the file."""
    try:
        fcntl.fcntl(reading, _SET_SIZE, _PIECE)
    except OSError:
        pass  # as small as the host wants it
    with open(os.open(stream.path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC), "wb", 0) as handle:
        sink = _Sink(handle.fileno())
        if stream.filter:
            _through(stream, reading, sink)
        else:
            _pump(stream, reading, sink.write)
        return sink.result()


def _pump(stream: Stream, reading: int, write: Callable[[bytes], None]) -> None:
    compressor = stream.compressor() if stream.compressor is not None else None
    ended = False
    while not ended:
        data = os.read(reading, _PIECE)
        ended = not data
        if compressor is not None:
            data = compressor.flush() if ended else compressor.compress(data)
        write(data)


def _through(stream: Stream, reading: int, sink: _Sink) -> None:
    """Lets the filter make what is stored; only it and this process ever have the plain text."""
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(stream.filter, stdin=pipe, stdout=pipe, stderr=errors)
        except OSError as error:
            raise FilterError(f"{error.strerror}: {error.filename}") from error
        faults: list[OSError] = []
        whole = False
        with child:
            if child.stdin is None or child.stdout is None:
                return
            taking = threading.Thread(target=_take, args=(child.stdout, sink, faults))
            taking.start()
            into = child.stdin.fileno()
            try:
                _pump(stream, reading, lambda data: _write(into, data))
                whole = True
            except BrokenPipeError:
                pass  # it has ended; its exit status says why
            finally:
                child.stdin.close()
                taking.join()
        if faults:
            raise faults[0]
        if child.returncode or not whole:
            errors.seek(0)
            said = errors.read(ERROR_LIMIT).decode("utf-8", "replace")
            raise FilterError(said or f"it ended with exit status {child.returncode}")


def _take(source: IO[bytes], sink: _Sink, faults: list[OSError]) -> None:
    """Stores what the filter prints; if that fails, the filter cannot write any more, and ends."""
    with source:
        try:
            for data in iter(lambda: os.read(source.fileno(), _PIECE), b""):
                sink.write(data)
        except OSError as error:
            faults.append(error)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _wait(pid: int, answer: int, reading: int) -> Streamed:
    """Waits for the process that reads; if it has not read all, reads the rest in its place."""
    with open(answer, "rb") as handle:
        data = handle.read()
    os.waitpid(pid, 0)
    try:
        streamed = Streamed(*json.loads(data))
    except (ValueError, TypeError):
        streamed = Streamed()
    while streamed.fault and os.read(reading, _PIECE):
        continue
    return streamed
