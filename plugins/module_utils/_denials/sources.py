# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads denials from audit.log and its rotated files, the journal or the kernel's ring buffer, in constant memory."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import sys
from functools import partial
from typing import Callable, Iterator, Protocol

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths, without_waiting
from ansible_collections.criu.hosts.plugins.module_utils._denials.heads import parse_any_head
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import (
    AVC_MARK,
    BOUNDED_TRANSITION,
    LONGEST,
    MARKS,
    Block,
)

# Small enough for the cache of a processor, large enough that Python's own overhead does not matter.
CHUNK = 1 << 19
# The journal is read by a command, whose output must fit into memory: only the newest records.
JOURNAL_LINES = 100000
# The kernel's ring buffer has a few MiB; while it is read, a process may go on filling it.
KERNEL_LIMIT = 64 << 20
AUDIT_LOG = "/var/log/audit/audit.log"
KMSG = "/dev/kmsg"
# The facility is in the higher bits, and 0 for the kernel's own.
_KERNEL_PRIORITIES = frozenset(b"%d" % number for number in range(8))
# The lines on each side of a record that the SYSCALL record of the same event is looked for in, and their length.
AFTER, NEAR = 16, 1 << 14
_BOUNDED = re.compile(BOUNDED_TRANSITION.encode() + rb" [^\n]{0,400}oldcontext=(\S{1,400})")
_CALL = re.compile(rb" syscall=[^\n]{0,4000} subj=(\S{1,400})")
# Blocks with more denials than this are counted as a whole.
MANY = 50


class Sink(Protocol):
    """Receives the lines that have one of the marks."""

    def add(self, line: bytes, after: bytes | Callable[[], bytes] = b"") -> None:
        """Receives one line; ``after`` is the text around it, which may contain records that belong to it."""

    def add_many(self, block: Block, denials: int) -> bool:
        """Receives the ``denials`` of a block at once, if possible. The block is valid until the next one."""


def audit_files(path: str, since: float) -> tuple[str, ...]:
    """Returns ``path`` and its rotated files that may contain records after ``since``, oldest first."""
    folder, name = os.path.split(path)
    found = [(0, path)]
    for entry in os.listdir(folder) if os.path.isdir(folder) else ():
        rotated = re.fullmatch(rf"{re.escape(name)}\.(\d+)", entry)
        if rotated:
            found.append((int(rotated.group(1)), os.path.join(folder, entry)))
    return tuple(file for dummy, file in sorted(found, reverse=True) if _written(file) >= since)


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return -1.0


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def scan(handle: io.RawIOBase, sink: Sink, limit: int = sys.maxsize) -> int:
    """Passes each line of ``handle`` with one of the marks to ``sink``; returns the number of bytes read.

    It reads no more than ``limit`` bytes, even if the log grows meanwhile.

    Two buffers take turns: the system need not supply fresh pages, which costs more than the reading itself, and the
    sink may look back into the previous block.
    """
    buffers = [bytearray(b"\n") + bytearray(LONGEST + CHUNK) for dummy in range(2)]
    filled, total = 1, 0
    while True:
        data, other = buffers
        with memoryview(data) as view:
            got = handle.readinto(view[filled : filled + min(CHUNK, limit - total)]) or 0
        total += got
        filled += got
        end = max(data.rfind(b"\n", 1, filled) + 1, 1) if got else filled
        _scan_block(Block(data, end), sink)
        if not got:
            return total
        rest = filled - end if filled - end <= LONGEST else 0
        other[1 : 1 + rest] = data[end : end + rest]
        filled, buffers = 1 + rest, [other, data]


def _around(block: Block, start: int, stop: int) -> bytes:
    """Returns the lines around a line: auditd writes the system call of an event behind it, ausearch before it."""
    behind = block.part(stop + 1, stop + 1 + NEAR).split(b"\n")[:AFTER]
    before = block.part(max(start - NEAR, 0), start).split(b"\n")[-AFTER:]
    return b"\n".join(behind + before)


def _scan_block(block: Block, sink: Sink) -> None:
    """Searches each mark separately, which is far faster than one pattern for all."""
    data, end = block
    place = data.find(AVC_MARK, 0, end)
    denials = data.count(AVC_MARK, place, end) if place != -1 else 0
    many = denials > MANY and sink.add_many(block, denials)
    for number, mark in enumerate(MARKS):
        place = place if number == 0 else data.find(mark, 0, end)
        while place != -1 and not (many and number == 0):
            start, stop = block.line(place)
            line = block.part(start, min(stop, start + LONGEST + 1))
            # A file's name can have a mark, too.
            if not any(earlier in line for earlier in MARKS[:number]):
                sink.add(line, partial(_around, block, start, stop))
            place = data.find(mark, stop, end)


def _read_log(path: str, sink: Sink, limit: int) -> None:
    """Reads the last ``limit`` bytes of a log."""
    with open(path, "rb", buffering=0, opener=without_waiting) as handle:
        status = os.fstat(handle.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        size = min(status.st_size, limit)
        if size < status.st_size:
            handle.seek(status.st_size - size)
            handle.readline(LONGEST)
        scan(handle, sink, size)


def read_audit(files: tuple[str, ...], sink: Sink, limit: int = sys.maxsize) -> None:
    """Reads the files, the oldest first, but only the last ``limit`` bytes of all.

    It skips one that has been rotated away in the meantime.
    """
    sizes = [(path, _size(path)) for path in files]
    for number, (path, size) in enumerate(sizes):
        room = limit - sum(one for dummy, one in sizes[number + 1 :])
        if room <= 0 or not size:
            continue
        try:
            _read_log(path, sink, room)
        except FileNotFoundError:
            continue


def journal_argv(since: float) -> tuple[str, ...]:
    """Returns the command that shows the relevant records: from the audit subsystem and from the kernel itself."""
    start = (f"--since=@{since:.0f}",) if since > 0 else ()
    return (
        *("journalctl", "--quiet", "--no-pager", "--output=short-unix", f"--lines={JOURNAL_LINES}"),
        *('--grep=avc:  denied|SELINUX_ERR|type=1401 |apparmor="(DENIED|ALLOWED|KILLED)"', "--case-sensitive=true"),
        *start,
        *("_TRANSPORT=audit", "+", "_TRANSPORT=kernel"),
    )


def syscall_argv(first: float, last: float) -> tuple[str, ...]:
    """Returns the command that shows the system calls of a time. The kernel prints the number of the type."""
    return (
        *("journalctl", "--quiet", "--no-pager", "--output=short-unix", f"--lines={JOURNAL_LINES}"),
        *("--grep=^SYSCALL |type=1300 ", "--case-sensitive=true", f"--since=@{first:.0f}", f"--until=@{last + 1:.0f}"),
        *("_TRANSPORT=audit", "+", "_TRANSPORT=kernel"),
    )


def _lines_of(out: str) -> list[bytes]:
    return out.encode("utf-8", "surrogateescape").split(b"\n")


def read_journal(runner: Runner, since: float, sink: Sink) -> None:
    """Reads the journal. journalctl exits with 1 if nothing matches."""
    done = runner.run(journal_argv(since))
    if done.rc != 1 or done.err.strip():
        check(done, "read the journal", advice="Choose a different source.")
    lines = _lines_of(done.out)
    moments = [_moment(line) for line in lines if _BOUNDED.search(line)]
    if moments and not any(_CALL.search(line) for line in lines):
        lines += _lines_of(runner.run(syscall_argv(min(moments), max(moments))).out)
    calls = _calls(lines) if moments else {}
    for line in lines:
        if any(mark in line for mark in MARKS):
            bounded = _BOUNDED.search(line) if calls else None
            sink.add(line, calls.get((int(_moment(line)), bounded.group(1)), b"") if bounded else b"")


def _calls(lines: list[bytes]) -> dict[tuple[int, bytes], bytes]:
    """Returns the SYSCALL records of each second and context."""
    calls: dict[tuple[int, bytes], list[bytes]] = {}
    for line in lines:
        found = _CALL.search(line)
        if found:
            calls.setdefault((int(_moment(line)), found.group(1)), []).append(line)
    return {key: b"\n".join(found[:AFTER]) for key, found in calls.items()}


def _moment(line: bytes) -> float:
    head = parse_any_head(line)
    return head.time if head is not None else 0.0


def _messages(path: str) -> Iterator[bytes]:
    """Yields the records of the kernel's ring buffer: each read returns one, and the last one fails."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    left = KERNEL_LIMIT
    try:
        while left > 0:
            try:
                record = os.read(descriptor, 1 << 13)
            except BrokenPipeError:
                left -= 1 << 13
                continue  # overwritten in the meantime; the next one exists
            except BlockingIOError:
                return
            if not record:
                return
            left -= len(record)
            yield from record.split(b"\n")
    finally:
        os.close(descriptor)


def read_kernel(path: str, sink: Sink) -> None:
    """Reads the kernel's ring buffer. Records of programs in it have a facility other than 0, which is the kernel's."""
    said = []
    for record in _messages(path):
        prefix, dummy, message = record.partition(b";")
        if prefix.split(b",")[0] in _KERNEL_PRIORITIES and (b"syscall=" in message or any(m in message for m in MARKS)):
            said.append(message)
    for number, message in enumerate(said):
        if any(mark in message for mark in MARKS):
            sink.add(message, b"\n".join(said[number + 1 : number + 1 + AFTER]))


def choose(paths: Paths, audit_log: str, runner: Runner | None, *, boot: float) -> str:
    """Returns the source for ``auto``: auditd's log if written since the boot, else the journal or the ring buffer."""
    if _written(audit_log) >= max(boot, 0.0):
        return "audit"
    journals = (paths.below("/run/log/journal"), paths.below("/var/log/journal"))
    if runner is not None and any(os.path.isdir(path) for path in journals) and runner.which("journalctl"):
        return "journal"
    return "kernel"
