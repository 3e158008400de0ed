# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes tar archives that no program would write."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from typing import Callable

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
END = bytes(1024)


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def header(
    name: bytes,
    size: int | bytes = 0,
    *,
    kind: bytes = b"0",
    mtime: int | bytes = 0,
    target: bytes = b"",
    mode: int = 0o644,
    checksum: bytes | None = None,
) -> bytes:
    """Returns one header; numbers may be given as the bytes of their fields."""
    fields = [
        name.ljust(100, b"\0"),
        octal(mode, 8),
        octal(0, 8) * 2,
        size if isinstance(size, bytes) else octal(size, 12),
        mtime if isinstance(mtime, bytes) else octal(mtime, 12),
        b" " * 8,
        kind,
        target.ljust(100, b"\0"),
        b"ustar\00000",
    ]
    head = b"".join(fields).ljust(512, b"\0")
    total = octal(sum(head), 7) + b" " if checksum is None else checksum
    return head[:148] + total + head[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def entry(name: bytes, data: bytes = b"", **more: object) -> bytes:
    """Returns a member with its content."""
    return header(name, len(data), **more) + padded(data)  # type: ignore[arg-type]


def pax(**records: bytes) -> bytes:
    """Returns an extended header; a dot in a key is written as two underscores."""
    lines = b""
    for key, value in records.items():
        rest = b" %s=%s\n" % (key.replace("__", ".").encode(), value)
        length = len(rest) + 1
        while len(b"%d" % length) + len(rest) != length:
            length += 1
        lines += b"%d%s" % (length, rest)
    return entry(b"pax", lines, kind=b"x")


def zeros(compress: str, megabytes: int, before: bytes = b"") -> bytes:
    """Returns ``before`` and that many zeros, compressed piece by piece."""
    target = io.BytesIO()
    opened = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}[compress](target, "wb")  # type: ignore[operator]
    with opened as handle:
        handle.write(before)
        for dummy in range(megabytes):
            handle.write(bytes(1 << 20))
    return target.getvalue()
