# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Describes a container, the options of its checkpoint, and the abilities of its engine, the same for all engines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping


@dataclass(frozen=True)
class Abilities:
    """What an engine can do. The modules refuse what it cannot (ability_missing) before anything is touched."""

    in_place: bool = False
    archive: bool = False
    new_name: bool = False
    leave_running: bool = False
    tcp_established: bool = False
    tcp_close: bool = False
    file_locks: bool = False
    pre_dump: bool = False
    publish: bool = False


@dataclass(frozen=True)
class Container:
    """A container as its engine describes it. Times are the engine's own text, empty for never.

    ``stamp`` identifies the checkpoint on disk beside the container; empty if there is none. ``own`` is for the engine
    alone: nothing else reads it.
    """

    id: str
    name: str
    status: str
    pid: int
    image: str
    image_id: str
    runtime: str
    process_label: str
    started_at: str = ""
    restored_at: str = ""
    checkpointed: bool = False
    auto_remove: bool = False
    volumes: tuple[str, ...] = ()
    stamp: str = ""
    created_at: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def run(self) -> str:
        """Identifies this run of the container: when it was last started or restored."""
        return self.restored_at or self.started_at


@dataclass(frozen=True)
class ImageInfo:
    """A container image: its id, and the variables ``NAME=value`` that it sets."""

    id: str
    environment: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """The options of a checkpoint or restore that the engine gets."""

    tcp_established: bool = False
    file_locks: bool = False
    ignore_rootfs: bool = False
    ignore_volumes: bool = False
    keep: bool = False
    leave_running: bool = False
    compression: str = "zstd"
