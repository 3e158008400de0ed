# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses the record of a container checkpoint, and names its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import parse_entries


@dataclass(frozen=True)
class Record:
    """The state of a container when it was checkpointed."""

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


def parse_record(text: str | None) -> Record | None:
    """Returns the record in a file; None if this release does not understand it."""
    entries = parse_entries(text)
    try:
        return None if entries is None else Record(**{**entries, "volumes": tuple(entries.get("volumes", ()))})
    except TypeError:
        return None


def record_path(archive_path: str) -> str:
    """Returns the path of the record beside an archive."""
    return f"{archive_path}.json"


def place_records_dir(paths: Paths) -> str:
    """Returns the folder with the records of checkpoints in place."""
    return f"{paths.state}/checkpoints"


def place_record_path(paths: Paths, container_id: str) -> str:
    """Returns the path of the record of a checkpoint in place."""
    return f"{place_records_dir(paths)}/{container_id}.json"


def restored_path(paths: Paths, name: str) -> str:
    """Returns the path of the note about the checkpoint that the container ``name`` was restored from."""
    return f"{paths.state}/restored/{name}.json"
