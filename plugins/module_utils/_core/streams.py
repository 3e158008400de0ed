# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads files that may be compressed from beginning to end, in little memory, whatever they contain."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zlib
from typing import IO, Any, Callable, Protocol

CHUNK = 1 << 16
# xz keeps what it may refer back to in memory; its highest preset needs 64 MiB.
XZ_MEMORY = 128 << 20


class StreamError(ValueError):
    """The file is damaged or cut off, or holds more than its reader accepts."""


class CutOff(StreamError):
    """The file ends too early."""


class Stream(Protocol):
    """A file that is read from beginning to end."""

    def read(self, size: int) -> bytes:
        """Returns ``size`` bytes; fewer only at the end. Raises StreamError."""

    def skip(self, size: int) -> None:
        """Goes on ``size`` bytes later; raises StreamError if the file ends before."""


class Plain:
    """A file that is not compressed: what is skipped is not read."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        start = handle.tell()
        self._left = handle.seek(0, os.SEEK_END) - start
        handle.seek(start)

    def read(self, size: int) -> bytes:
        data = self._handle.read(max(min(size, self._left), 0))
        self._left -= len(data)
        return data

    def skip(self, size: int) -> None:
        if size > self._left:
            raise CutOff("it is cut off")
        self._handle.seek(size, os.SEEK_CUR)
        self._left -= size


class Expanded:
    """A compressed file, which may expand to ``limit`` bytes. ``more`` returns the next piece, b"" at the end."""

    def __init__(self, more: Callable[[], bytes], limit: int) -> None:
        self._more = more
        self._room = limit
        self._piece = b""
        self._at = 0

    def _fill(self) -> int:
        """Returns how many bytes are at hand; 0 at the end."""
        if self._at >= len(self._piece):
            self._piece, self._at = self._more(), 0
            self._room -= len(self._piece)
            if self._room < 0:
                raise StreamError("it expands to far more than such a file holds")
        return len(self._piece) - self._at

    def read(self, size: int) -> bytes:
        parts = []
        while size and self._fill():
            part = self._piece[self._at : self._at + size]
            parts.append(part)
            self._at += len(part)
            size -= len(part)
        return b"".join(parts)

    def skip(self, size: int) -> None:
        if size > self._room + len(self._piece) - self._at:
            raise StreamError("it claims to expand to far more than such a file holds")
        while size:
            step = min(self._fill(), size)
            if not step:
                raise CutOff("it is cut off")
            self._at += step
            size -= step


_KINDS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)),
)


def _decompressor(data: bytes) -> Any:
    return next((make() for magic, make in _KINDS if data.startswith(magic)), None)


class _Pieces:
    """Decompresses gzip, bzip2 or xz (``known``): neither a piece nor what waits for its turn exceeds CHUNK."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self._waiting = handle.read(CHUNK)
        self._engine = _decompressor(self._waiting)
        self.known = self._engine is not None

    def more(self) -> bytes:
        """Returns the next piece; empty at the end. Such files may consist of several, with zeros between them."""
        while self._engine is not None:
            if self._engine.eof:
                self._next()
                continue
            try:
                piece: bytes = self._engine.decompress(self._waiting, CHUNK)
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
                raise StreamError(f"its compression is damaged ({error})") from None
            self._waiting = getattr(self._engine, "unconsumed_tail", b"")
            if piece:
                return piece
            if not self._waiting and not self._engine.eof and getattr(self._engine, "needs_input", True):
                self._waiting = self._handle.read(CHUNK)
                if not self._waiting:
                    raise CutOff("it is cut off")
        return b""

    def _next(self) -> None:
        rest = self._engine.unused_data.lstrip(b"\0")
        while not rest:
            data = self._handle.read(CHUNK)
            if not data:
                break
            rest = data.lstrip(b"\0")
        if 0 < len(rest) < CHUNK:
            rest += self._handle.read(CHUNK - len(rest))
        self._waiting, self._engine = rest, _decompressor(rest)


def expand(data: bytes, limit: int) -> bytes:
    """Returns ``data``, which may be compressed by gzip, bzip2 or xz and then expand to ``limit`` bytes.

    Raises:
        StreamError: it is damaged, or expands to more.
    """
    pieces = _Pieces(io.BytesIO(data))
    return Expanded(pieces.more, limit).read(limit + 1) if pieces.known else data


def open_stream(handle: IO[bytes], limit: int) -> Stream:
    """Returns the content of a file, which may be compressed by gzip, bzip2 or xz and then expand to ``limit`` bytes.

    Raises:
        StreamError: as does the stream when it is read.
    """
    start = handle.tell()
    pieces = _Pieces(handle)
    if pieces.known:
        return Expanded(pieces.more, limit)
    handle.seek(start)
    return Plain(handle)
