# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Describes a container, the options of its checkpoint, and the abilities of its engine, the same for all engines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Iterator, Mapping


@dataclass(frozen=True)
class Abilities:
    """What an engine can do. The modules refuse what it cannot (ability_missing) before anything is touched.

    ``pipe``: it can write an archive into a named pipe. ``image``: it has images of checkpoints (images.py).
    """

    in_place: bool = False
    archive: bool = False
    new_name: bool = False
    leave_running: bool = False
    tcp_established: bool = False
    tcp_close: bool = False
    file_locks: bool = False
    pre_dump: bool = False
    publish: bool = False
    ignore_static_ip: bool = False
    ignore_static_mac: bool = False
    pipe: bool = False
    image: bool = False


# Of a container that has neither ended nor runs: it cannot be dumped, started or restored.
UNSETTLED = ("paused", "stopping", "removing")


@dataclass(frozen=True)
class Health:
    """A health check that the engine makes on its own: its command as the engine holds it, and nanoseconds between."""

    command: tuple[str, ...]
    interval: int


@dataclass(frozen=True)
class Bind:
    """A file or folder of the host that a container has mounted.

    ``own``: the engine makes the source itself, and again if it is missing. ``sheltered``: it is below a tmpfs of the
    container, so it is mounted only when CRIU has restored that.
    """

    source: str
    target: str
    own: bool = False
    sheltered: bool = False


def to_record(binds: Iterable[Bind]) -> Iterator[dict[str, Any]]:
    """Yields those binds whose sources have to be on the host of a restore, as a record keeps them."""
    for bind in binds:
        if not bind.own:
            yield {"source": bind.source, "target": bind.target, "sheltered": bind.sheltered}


def from_record(entries: Iterable[Mapping[str, Any]]) -> tuple[Bind, ...]:
    """Returns the binds of a record, whose rules were checked when it was read."""
    return tuple(Bind(one["source"], one["target"], sheltered=one["sheltered"]) for one in entries)


@dataclass(frozen=True)
class Container:
    """A container as its engine describes it. Times are the engine's own text, empty for never.

    ``stamp`` identifies the checkpoint on disk beside the container; empty if there is none. ``own`` is for the engine
    alone: nothing else reads it. ``criu_config`` is the file that the annotation org.criu.config names. ``ports`` and
    ``networks`` are as in its record.
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
    criu_config: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    health: Health | None = None
    ports: tuple[dict[str, Any], ...] = ()
    networks: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def paused(self) -> bool:
        return self.status == "paused"

    @property
    def alive(self) -> bool:
        """Whether it has its state in memory: a paused container has not ended."""
        return self.running or self.paused

    @property
    def unsettled(self) -> bool:
        return self.status in UNSETTLED

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
    """The options of a checkpoint or restore that the engine gets; those after ``compression`` are of a restore only.

    ``publish`` are ports in the engine's own syntax. ``compression_level`` is not for the engine. ``pre_checkpoint``:
    save the memory only, for a checkpoint ``with_previous``, which saves what has changed since.
    """

    tcp_established: bool = False
    file_locks: bool = False
    ignore_rootfs: bool = False
    ignore_volumes: bool = False
    keep: bool = False
    leave_running: bool = False
    compression: str = "zstd"
    tcp_close: bool = False
    ignore_static_ip: bool = False
    ignore_static_mac: bool = False
    publish: tuple[str, ...] = ()
    compression_level: int | None = None
    pre_checkpoint: bool = False
    with_previous: bool = False

    @property
    def runs_on(self) -> bool:
        """Whether the container runs on after the checkpoint."""
        return self.leave_running or self.pre_checkpoint
