# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads checkpoint archives and the records beside them, and checks that they belong together."""

from __future__ import annotations

import os
from typing import Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, parse_record, record_path


def read_record(archive_path: str) -> Record | None:
    """Returns the record beside the archive; None if there is none."""
    return parse_record(read_text(record_path(archive_path)))


def size_of(path: str) -> int | None:
    """Returns the size of a file; None if there is no such file."""
    try:
        return os.stat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def invalid(path: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot restore from {path!r}: {why}. Make the archive again, or copy it again together with its record.",
        reason="archive_invalid",
        path=path,
    )


def read_archive(path: str, describe: Callable[[str], Record]) -> Record:
    """Returns the record beside the archive; without one, what its engine's ``describe`` reads from the archive.

    Raises:
        CheckpointError: archive_missing, archive_invalid.
    """
    size = size_of(path)
    if size is None:
        raise CheckpointError(
            f"Cannot restore from {path!r}: there is no such file. Make it with container_checkpoint.",
            reason="archive_missing",
            path=path,
        )
    record = read_record(path)
    if record is None:
        return describe(path)
    if record.size_bytes != size:
        raise invalid(path, f"it has {size} bytes and its record says {record.size_bytes}")
    return record


def verify(path: str, record: Record) -> str:
    """Returns the SHA-256 of the archive, and raises if the record has a different one."""
    digest = file_sha256(path)
    if record.sha256 and record.sha256 != digest:
        raise invalid(path, f"its SHA-256 is {digest} and its record says {record.sha256}")
    return digest
