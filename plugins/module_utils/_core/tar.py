# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads tar archives of other origin, member by member.

Python's own module keeps all members in memory, reads an extended header of any size, skips sizes that go beyond the
end in a loop, and raises many kinds of exceptions. This one reads the headers itself, within limits, and refuses what
no program that makes our archives writes: sparse files, negative sizes, and entries of unknown kinds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import IO, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.streams import (
    CHUNK,
    CutOff,
    Stream,
    StreamError,
    open_stream,
)

BLOCK = 512
# Extended attributes may have 64 KiB each; an archive of CRIU's images has about ten members for each process.
EXTENDED_LIMIT = 1 << 20
EXTENDED_TOTAL = 64 << 20
# What an archive of CRIU (its source with 10 MB, packages with all symbols) may expand to.
SIZE_LIMIT = 4 << 30
MEMBER_LIMIT = 200_000
# The last second of the year 9999, which all programs can show.
TIME_LIMIT = 253_402_300_799
_ENDED = bytes(BLOCK)
_KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"5": "dir", b"2": "link", b"1": "hard link"}
_SPECIAL = {b"3": "device", b"4": "device", b"6": "pipe"}


class TarError(StreamError):
    """The archive is damaged, cut off or unusual. The text is a part of a sentence about it, in one line."""


@dataclass(frozen=True)
class Member:
    """A member of an archive. ``kind``: file, dir, link, hard link, device or pipe; ``target`` is that of a link."""

    name: str
    kind: str
    size: int
    mode: int
    mtime: float
    target: str

    @property
    def parts(self) -> tuple[str, ...]:
        """Returns the folders and the last part of the name, without empty ones and ``.``."""
        return tuple(part for part in self.name.split("/") if part not in ("", "."))


def _number(field: bytes) -> int:
    """Returns a number: octal digits, or binary if its first bit is set."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise TarError("a header has a number that is negative or too large")
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise TarError("a header has a number that is none")
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _extended(data: bytes) -> dict[str, bytes]:
    """Returns the entries of an extended header, each a line ``LENGTH KEY=VALUE``."""
    found: dict[str, bytes] = {}
    place = 0
    while place < len(data):
        blank = data.find(b" ", place, place + 8)
        digits = data[place:blank] if blank > place else b""
        end = place + int(digits) if digits.isdigit() else 0
        key, sign, value = data[blank + 1 : end - 1].partition(b"=")
        if not place < blank < end <= len(data) or data[end - 1 : end] != b"\n" or not sign or not key:
            raise TarError("an extended header is damaged")
        found[key.decode("utf-8", "replace")] = value
        place = end
    if any(key.startswith("GNU.sparse.") for key in found):
        raise TarError("it has a sparse file")
    return found


def _name(value: bytes) -> str:
    if b"\0" in value or not value:
        raise TarError("a member's name is empty or has a NUL")
    return value.decode("utf-8", "surrogateescape")


def _time(value: bytes) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= TIME_LIMIT:  # nan is not, either
        raise TarError("a member's time is no time since 1970")
    return seconds


def _member(head: bytes, more: dict[str, bytes]) -> Member:
    kind = {**_KINDS, **_SPECIAL}.get(head[156:157])
    if kind is None:
        raise TarError(f"it has an entry of the unknown kind {head[156:157]!r}")
    name = _text(head[:100])
    prefix = _text(head[345:500]) if head[257:263] == b"ustar\0" else ""
    name = _name(more["path"]) if "path" in more else f"{prefix}/{name}" if prefix else name
    size, mtime = head[124:136], head[136:148]
    digits = more.get("size")
    if digits is not None and not (digits.isdigit() and len(digits) < 20):
        raise TarError("a member's size is no number")
    member = Member(
        name=name,
        kind="dir" if head[156:157] == b"\0" and name.endswith("/") else kind,
        size=int(digits) if digits is not None else _number(size),
        mode=_number(head[100:108]) & 0o7777,
        mtime=_time(more["mtime"]) if "mtime" in more else _time(b"%d" % _number(mtime)),
        target=_name(more["linkpath"]) if "linkpath" in more else _text(head[157:257]),
    )
    if member.kind != "file" and member.size:
        raise TarError(f"{name!r} is no file and has a size")
    if member.kind == "link" and not member.target:
        raise TarError(f"{name!r} is a link to nothing")
    return member


class Tar:
    """The members of a tar archive, which are read in order, each of them only before the next one."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = self._padding = 0
        self._room = EXTENDED_TOTAL

    def __iter__(self) -> Iterator[Member]:
        for dummy in range(MEMBER_LIMIT):
            member = self._next()
            if member is None:
                return
            self._left, self._padding = member.size, -member.size % BLOCK
            yield member
            # The padding of the last member may be missing, as Python's module accepts it, too.
            self._stream.skip(self._left)
            self._stream.read(self._padding)
        raise TarError(f"it has more than {MEMBER_LIMIT} members")

    def pieces(self) -> Iterator[bytes]:
        """Yields the content of the member in small pieces."""
        while self._left:
            piece = self._stream.read(min(self._left, CHUNK))
            if not piece:
                raise CutOff("it is cut off")
            self._left -= len(piece)
            yield piece

    def part(self, size: int) -> bytes:
        """Returns the next ``size`` bytes of the member; fewer only at its end."""
        data = self._stream.read(min(size, self._left))
        if len(data) < min(size, self._left):
            raise CutOff("it is cut off")
        self._left -= len(data)
        return data

    def skip(self, size: int) -> None:
        """Goes on ``size`` bytes later in the member, or at its end."""
        step = min(size, self._left)
        self._stream.skip(step)
        self._left -= step

    def content(self, limit: int) -> bytes:
        """Returns the content of the member, which may have ``limit`` bytes."""
        if self._left > limit:
            raise TarError(f"a member has {self._left} bytes, more than the {limit} that it may have")
        return b"".join(self.pieces())

    def _head(self) -> bytes | None:
        head = self._stream.read(BLOCK)
        if head == _ENDED:
            if self._stream.read(BLOCK) not in (_ENDED, b""):
                raise TarError("there is something after its end")
            return None
        if not head:
            return None
        if len(head) < BLOCK:
            raise CutOff("it is cut off")
        rest = head[:148] + b" " * 8 + head[156:]
        # Some old programs added signed numbers.
        if sum(rest) - _number(head[148:156]) not in (0, 256 * sum(one > 127 for one in rest)):
            raise TarError("a header has the wrong checksum")
        return head

    def _next(self) -> Member | None:
        """Returns the next member. Entries that describe it may precede it."""
        more: dict[str, bytes] = {}
        for dummy in range(8):
            head = self._head()
            if head is None and more:
                raise CutOff("it is cut off")
            if head is None:
                return None
            if head[156:157] not in b"xgLK":
                return _member(head, more)
            size = _number(head[124:136])
            if size > EXTENDED_LIMIT:
                raise TarError(f"an extended header has {size} bytes, more than the {EXTENDED_LIMIT} that it may have")
            self._room -= size
            if self._room < 0:
                raise TarError(f"its extended headers have more than {EXTENDED_TOTAL} bytes")
            data = self._stream.read(size)
            if len(data) < size:
                raise CutOff("it is cut off")
            self._stream.read(-size % BLOCK)
            more.update(_described(head[156:157], data))
        raise TarError("a member has too many extended headers")


def _described(kind: bytes, data: bytes) -> dict[str, bytes]:
    """Returns what an entry of the ``kind`` x, g, L or K says about the next member."""
    if kind == b"L":
        return {"path": data.rstrip(b"\0")}
    if kind == b"K":
        return {"linkpath": data.rstrip(b"\0")}
    found = _extended(data)
    if kind == b"x":
        return found
    # Such an entry is for all members; git writes the commit into it.
    if found.keys() & {"path", "linkpath", "size", "mtime"}:
        raise TarError("it has a name or a size that is for all members")
    return {}


def open_tar(handle: IO[bytes], limit: int = SIZE_LIMIT) -> Tar:
    """Returns the members of an archive, which may be compressed by gzip, bzip2 or xz and expand to ``limit`` bytes.

    Raises:
        StreamError: as does reading the members.
    """
    return Tar(open_stream(handle, limit))
