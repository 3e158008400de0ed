# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds archives that belong to each other: one that was made on a pre-checkpoint lacks the memory in that one."""

from __future__ import annotations

import os
from typing import Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import invalid, read_record, size_of
from ansible_collections.criu.hosts.plugins.module_utils._store.record import UNKNOWN, Record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_path, kind_of


def previous_path(archive_path: str | None, record: Record | None) -> str:
    """Returns the path of the archive of the pre-checkpoint that an archive needs; empty if it is whole alone."""
    if archive_path is None or record is None or record.parent in ("", UNKNOWN):
        return ""
    return os.path.normpath(os.path.join(os.path.dirname(archive_path), record.parent))


def refuse_pre_checkpoint(record: Record, archive_path: str) -> None:
    """Refuses to restore a pre-checkpoint.

    Raises:
        CheckpointError: archive_pre_dump.
    """
    if record.pre_dump:
        raise CheckpointError(
            f"Cannot restore from {archive_path!r}: it is a pre-checkpoint, which holds memory and no processes. "
            "Restore a checkpoint that was made on it (with_previous).",
            reason="archive_pre_dump",
            path=archive_path,
        )


def require_previous(archive_path: str, record: Record, *, digest: bool = True) -> None:
    """Refuses an archive whose pre-checkpoint is not there as it was. Without ``digest``, that archive is not read.

    Raises:
        CheckpointError: parent_missing, parent_changed, archive_invalid, archive_path_unsafe.
    """
    if not record.parent:
        return
    if record.parent == UNKNOWN:
        raise missing(
            f"restore from {archive_path!r}",
            "it lacks memory that is in the archive of a pre-checkpoint, and it has no record that names that",
            "Copy its record to this place, too.",
            path=archive_path,
        )
    path = previous_path(archive_path, record)
    if kind_of(archive_path) or kind_of(path):
        raise invalid(archive_path, "it is encrypted, and needs a pre-checkpoint, which no encrypted archive does")
    check_path(path)
    size, known = size_of(path), read_record(path)
    if size is None:
        raise missing(
            f"restore from {archive_path!r}",
            f"it lacks memory that is in the pre-checkpoint {path!r}, and there is no such file",
            "Copy that archive to this place, too.",
            path=path,
        )
    if (known is not None and known.size_bytes != size) or (digest and file_sha256(path) != record.parent_sha256):
        raise CheckpointError(
            f"Cannot restore from {archive_path!r}: it lacks memory that is in the pre-checkpoint {path!r}, and that "
            "file is not the one that it was made on. Copy that one back.",
            reason="parent_changed",
            path=path,
        )


def missing(what: str, why: str, advice: str, **facts: str) -> CheckpointError:
    """Returns the failure of the work ``what`` without the pre-checkpoint that it needs."""
    return CheckpointError(f"Cannot {what}: {why}. {advice}", reason="parent_missing", **facts)


def built_on(archive_path: str, archived: Mapping[str, Record]) -> list[tuple[str, Record]]:
    """Returns the archives in the folder of a pre-checkpoint's archive that need it, each with its record.

    ``archived`` are the records of archives that the task has completed: in check mode, these are not on disk.
    """
    folder, name = os.path.split(archive_path)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    paths = [os.path.join(folder, one[: -len(".json")]) for one in names if one.endswith(".json")]
    found = [(path, record) for path in paths for record in (read_record(path),) if record is not None]
    found += [pair for pair in archived.items() if previous_path(*pair) == archive_path]
    return [(path, record) for path, record in found if record.parent == name]


def require_replaceable(archive_path: str, name: str, archived: Mapping[str, Record]) -> None:
    """Refuses to replace or remove the archive of a pre-checkpoint that another archive needs.

    Raises:
        CheckpointError: checkpoint_in_use.
    """
    record = read_record(archive_path)
    others = built_on(archive_path, archived) if record is not None and record.pre_dump else []
    if others:
        raise CheckpointError(
            f"Cannot replace or remove {archive_path!r}: it is a pre-checkpoint of container {name!r}, and "
            f"{others[0][0]!r} cannot be restored without it. Give a different archive_path, or remove that first.",
            reason="checkpoint_in_use",
            path=archive_path,
        )
