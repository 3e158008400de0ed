# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checkpoint archives and the records beside them: safe paths, what is inside, whether they belong together."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._local import PLACES, read_text

SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """What was known of a container when it was checkpointed."""

    engine: str
    id: str
    name: str
    image: str
    image_id: str
    runtime: str
    process_label: str
    run: str = ""
    stamp: str = ""
    checkpointed_at: str = ""
    volumes: tuple[str, ...] = ()
    criu: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    selinux: str = ""
    labels: Any = ()
    traces: dict[str, Any] = field(default_factory=dict)
    size_bytes: int = 0
    sha256: str = ""


def render_record(record: Record) -> str:
    """The text of a record file."""
    return json.dumps({"schema": SCHEMA, **record.__dict__}, indent=1, sort_keys=True) + "\n"


def parse_record(text: str | None) -> Record | None:
    """The record of a file; None if there is none that this release understands."""
    try:
        entries = json.loads(text or "")
        if entries.pop("schema") != SCHEMA:
            return None
        return Record(**{**entries, "volumes": tuple(entries.get("volumes", ()))})
    except (ValueError, AttributeError, KeyError, TypeError):
        return None


def record_path(archive_path: str) -> str:
    """The record beside an archive."""
    return f"{archive_path}.json"


def partial_path(archive_path: str) -> str:
    """Where an archive is while it is written."""
    folder, base = os.path.split(archive_path)
    return os.path.join(folder, f".{base}.partial")


def place_record_path(container_id: str) -> str:
    """The record of a checkpoint in place."""
    return f"{PLACES.state}/checkpoints/{container_id}.json"


def outdated_records(work_dir: str) -> tuple[str, ...]:
    """The records in place of containers that have been removed since; ``work_dir`` is that of one that is there."""
    folder = f"{PLACES.state}/checkpoints"
    containers = os.path.dirname(os.path.dirname(work_dir))
    if not os.path.isdir(folder) or not os.path.isdir(containers):
        return ()
    known = {f"{name}.json" for name in os.listdir(containers)}
    return tuple(os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name not in known)


def restored_path(name: str) -> str:
    """What the container ``name`` was restored from."""
    return f"{PLACES.state}/restored/{name}.json"


def _unsafe(path: str, why: str, advice: str) -> CheckpointError:
    return CheckpointError(
        f"Refuse to use the archive {path!r}: {why}. {advice}", reason="archive_path_unsafe", path=path
    )


def check_path(path: str) -> None:
    """Refuse a path where others could read memory out of the archive, or put another archive in its place."""
    if not os.path.isabs(path) or os.path.basename(path) in ("", ".", ".."):
        raise _unsafe(path, "the path is not the absolute path of a file", "Give one in archive_path.")
    folder = os.path.dirname(path)
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unsafe(path, f"{folder!r} cannot be used: {error.strerror}", "Give another archive_path.") from error
    if not stat.S_ISDIR(status.st_mode):
        raise _unsafe(path, f"{folder!r} is not a folder", "Give another archive_path.")
    if _others_write(status):
        raise _unsafe(path, f"others than root may write to the folder {folder!r}", "Use a folder of root, mode 0700.")
    if os.path.lexists(path):
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            raise _unsafe(path, "it is not a regular file", "Give another archive_path.")
        if _others_write(status):
            raise _unsafe(path, "others than root may write to it", "Make it anew; its mode is 0600 then.")


def _others_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & 0o022) or status.st_uid not in (0, os.geteuid())


def read_record(archive_path: str) -> Record | None:
    """The record beside the archive; None if there is none."""
    return parse_record(read_text(record_path(archive_path)))


def size_of(path: str) -> int | None:
    """The size of a file; None if there is no such file."""
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
    """What is inside the archive: from its record if there is one, else as its engine's ``describe`` reads it.

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
    """The SHA-256 of the archive, which must be the record's if that names one."""
    digest = file_sha256(path)
    if record.sha256 and record.sha256 != digest:
        raise invalid(path, f"its SHA-256 is {digest} and its record says {record.sha256}")
    return digest
