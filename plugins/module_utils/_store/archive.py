# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads checkpoint archives and the records beside them, and checks that they belong together."""

from __future__ import annotations

import os
from typing import Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.record import (
    Record,
    check_record,
    parse_record,
    record_path,
)


def read_record(archive_path: str) -> Record | None:
    """Returns the record beside an archive that is to be replaced or removed; None if it is missing or unusable."""
    try:
        return _parse(archive_path)
    except ValueError:
        return None


def _parse(archive_path: str) -> Record | None:
    data = read_own(record_path(archive_path))
    return None if data is None else parse_record(data)


def size_of(path: str) -> int | None:
    """Returns the size of a file; None if there is no such file."""
    try:
        return os.stat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def invalid(
    path: str, why: str, advice: str = "Make the archive again, or copy it again together with its record."
) -> CheckpointError:
    return CheckpointError(
        f"Cannot restore from {path!r}: {why}. {advice}",
        reason="archive_invalid",
        path=path,
    )


def read_archive(path: str, describe: Callable[[str], Record]) -> Record:
    """Returns the record beside the archive; without one, what its engine's ``describe`` reads from the archive.

    A record that is there and cannot be used is an error: without it neither the checksum nor the labels would be
    proved. One that is missing is none, as for an archive that podman alone has made.

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
    try:
        record = _parse(path)
    except ValueError as error:
        why = f"its record {record_path(path)!r} cannot be used: {error}"
        raise invalid(path, why, "Copy the archive again together with its record.") from error
    if record is None:
        record = describe(path)
        try:
            check_record(record)
        except ValueError as error:
            raise invalid(path, f"what it says about its container cannot be used: {error}") from error
        return record
    if record.size_bytes != size:
        raise invalid(path, f"it has {size} bytes and its record says {record.size_bytes}")
    if not record.sha256:
        raise invalid(path, f"its record {record_path(path)!r} has no SHA-256")
    return record


def verify(path: str, record: Record) -> str:
    """Returns the SHA-256 of the archive, and raises if the record has a different one.

    The engine reads the archive by its path after this. Between the two only root can change which file that is, or
    write to it: ``check_path`` has judged the file and every folder on the way.
    """
    digest = file_sha256(path)
    if record.sha256 and record.sha256 != digest:
        raise invalid(path, f"its SHA-256 is {digest} and its record says {record.sha256}")
    return digest
