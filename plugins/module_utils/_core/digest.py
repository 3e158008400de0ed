# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Computes the SHA-256 of files and streams, read piece by piece."""

from __future__ import annotations

from typing import IO


def stream_sha256(handle: IO[bytes]) -> str:
    """Returns the digest of the rest of the stream."""
    import hashlib  # not needed by most tasks, and slow to load

    digest = hashlib.sha256()
    for block in iter(lambda: handle.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


def file_sha256(path: str) -> str:
    """Returns the digest of a file."""
    with open(path, "rb") as handle:
        return stream_sha256(handle)
