# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the archives and folders of images in a folder, or describes one. Nothing is changed or unpacked."""

from __future__ import annotations

import os
import re
from typing import Any, BinaryIO, Callable, Collection

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import stream_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import ZstdMissing
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._store.contents import escaped
from ansible_collections.criu.hosts.plugins.module_utils._store.entries import (
    Checkpoint,
    entry_of,
    failed,
    shown_record,
    summary_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.image_contents import (
    INVENTORY,
    opened,
    read_image_contents,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import parse_record as parse_process
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, parse_record, record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import kind_of

_ARCHIVE = re.compile(r"[^.].*\.(tar(\.(gz|zst|xz|bz2))?|tgz)(\.(age|gpg))?", re.DOTALL)
# Reads the contents of an archive; the details are those of the module's option.
Contents = Callable[[BinaryIO, Collection[str]], "dict[str, Any]"]


def list_checkpoints(path: str, contents: Contents, details: Collection[str], *, verify: bool) -> list[Checkpoint]:
    """Returns the checkpoint at the path, or all archives and folders of images in the folder, sorted by name.

    Raises:
        CheckpointError: archive_missing, archive_invalid, archive_unreadable. In a folder only if that cannot be read.
    """
    try:
        names = sorted(os.listdir(path)) if os.path.isdir(path) else None
    except OSError as error:
        raise unreadable(path, str(error.strerror)) from error
    if names is None:
        return [_archive(path, contents, details, verify)]
    if INVENTORY in names:
        return [_images(path, details)]
    found = []
    archives = archives_in(names)
    for name in names:
        one = os.path.join(path, name)
        images = name[:1] != "." and os.path.lexists(os.path.join(one, INVENTORY)) and not os.path.islink(one)
        try:
            if images:
                found.append(_images(one, details))
            elif name in archives:
                found.append(_archive(one, contents, details, verify))
        except CheckpointError as error:
            found.append(failed(one, error, kind="process" if images else "container"))
    return found


def archives_in(names: Collection[str]) -> set[str]:
    """Returns the files that are listed, by their names or since a record is beside them; no hidden ones."""
    beside = set(names)
    return {one for one in beside if _ARCHIVE.fullmatch(one) or (one[:1] != "." and f"{one}.json" in beside)}


def unreadable(path: str, why: str, advice: str = "Run the task as a user who may read it.") -> CheckpointError:
    return CheckpointError(f"Cannot read {path!r}: {why}. {advice}", reason="archive_unreadable", path=path)


def explained(path: str, error: OSError | ValueError) -> CheckpointError:
    """Returns the failure of a look into an archive or a folder of images."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return CheckpointError(
            f"Cannot read {path!r}: there is no such file or folder. Make an archive with container_checkpoint.",
            reason="archive_missing",
            path=path,
        )
    if isinstance(error, ZstdMissing):
        return unreadable(path, str(error), "Install that library (Debian: libzstd1, Red Hat: libzstd).")
    if isinstance(error, PermissionError):
        return unreadable(path, str(error.strerror))
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return CheckpointError(
        f"Cannot read {path!r}: {why}. Copy the checkpoint again, or make it again.",
        reason="archive_invalid",
        path=path,
    )


def archive_contents(
    path: str, contents: Contents, details: Collection[str], *, verify: bool
) -> tuple[int, dict[str, Any], str | None]:
    """Returns the size of an archive, what it holds (nothing of an encrypted one), and its digest if it is asked for.

    Raises:
        CheckpointError: archive_missing, archive_invalid, archive_unreadable.
    """
    try:
        with opened(path) as handle:
            held = {} if kind_of(path) else contents(handle, details)
            handle.seek(0)
            return os.fstat(handle.fileno()).st_size, held, stream_sha256(handle) if verify else None
    except (OSError, ValueError) as error:
        raise explained(path, error) from error


def _archive(path: str, contents: Contents, details: Collection[str], verify: bool) -> Checkpoint:
    size, held, digest = archive_contents(path, contents, details, verify=verify)
    record, fault = _record(path, size)
    verified = None if digest is None or record is None or not record.sha256 else record.sha256 == digest
    entry = entry_of(
        path,
        kind="container",
        size_bytes=size,
        made_at=record.checkpointed_at or None if record is not None else None,
        record=shown_record(record),
        record_fault=fault,
        sha256=digest,
        verified=verified,
        encrypted=bool(kind_of(path)),
        pre_checkpoint=record.pre_dump if record is not None else None,
        parent=record.parent or None if record is not None else None,
        **(summary_of(record) if record is not None and not held else held),
    )
    return Checkpoint(path, entry, record)


def _record(path: str, size: int) -> tuple[Record | None, str | None]:
    """Returns the record beside an archive, or why it cannot be used; twice None if there is none."""
    try:
        data = read_own(record_path(path))
        record = None if data is None else parse_record(data)
    except ValueError as error:
        return None, escaped(str(error))
    if record is not None and record.size_bytes != size:
        return None, f"the archive has {size} bytes and its record says {record.size_bytes}"
    return record, None


def images_contents(path: str, details: Collection[str]) -> dict[str, Any]:
    """Returns what a folder of images holds.

    Raises:
        CheckpointError: archive_missing, archive_invalid, archive_unreadable.
    """
    try:
        return read_image_contents(path, details)
    except (OSError, ValueError) as error:
        raise explained(path, error) from error


def _images(path: str, details: Collection[str]) -> Checkpoint:
    held = images_contents(path, details)
    record: ProcessRecord | None = None
    fault = None
    try:
        data = read_own(os.path.join(path, RECORD))
        record = None if data is None else parse_process(data)
    except ValueError as error:
        fault = escaped(str(error))
    entry = entry_of(
        path,
        kind="process",
        size_bytes=held["checkpoint_size"]["total_size"],
        made_at=record.checkpointed_at or None if record is not None else None,
        record=shown_record(record),
        record_fault=fault,
        encrypted=False,
        **held,
    )
    return Checkpoint(path, entry, record)
