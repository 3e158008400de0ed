# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What the checkpoint and restore modules need of a container engine: the interface that each engine implements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping, Protocol

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


@dataclass(frozen=True)
class Container:
    """A container as its engine describes it. Times are the engine's own text, empty for never.

    ``stamp`` tells the checkpoint that lies on disk beside the container from any other; empty if there is none.
    """

    id: str
    name: str
    status: str
    pid: int
    image: str
    image_id: str
    runtime: str
    process_label: str
    started_at: str
    restored_at: str
    checkpointed: bool
    auto_remove: bool
    work_dir: str
    pid_file: str = ""
    volumes: tuple[str, ...] = ()
    stamp: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    network: str = ""

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def run(self) -> str:
        """What tells this run of the container from the one before: when it was last started or restored."""
        return self.restored_at or self.started_at


@dataclass(frozen=True)
class Options:
    """What both modules pass on to the engine."""

    tcp_established: bool = False
    file_locks: bool = False
    ignore_rootfs: bool = False
    ignore_volumes: bool = False
    keep: bool = False
    leave_running: bool = False
    compression: str = "zstd"


class Engine(Protocol):
    """A container engine. Its argument lists are carried out by the plan's steps, its parse functions are pure."""

    @property
    def name(self) -> str:
        """The value of the option engine."""

    @property
    def minimum_criu(self) -> tuple[int, ...]:
        """The oldest CRIU that it takes."""

    def inspect(self, runner: Runner, name: str) -> Container | None:
        """Read the container; None if there is none of this name."""

    def checkpoint_argv(self, container: Container, options: Options, export: str | None) -> tuple[str, ...]:
        """Checkpoint in place, or to the file ``export``."""

    def restore_argv(self, name: str, options: Options) -> tuple[str, ...]:
        """Restore in place."""

    def import_argv(self, archive: str, runtime: str, new_name: str | None, options: Options) -> tuple[str, ...]:
        """Restore from the file ``archive`` with the OCI runtime ``runtime`` (empty: the default)."""

    def stop_argv(self, name: str) -> tuple[str, ...]:
        """Stop a container at once."""

    def remove_argv(self, name: str) -> tuple[str, ...]:
        """Remove a container, running or not."""

    def describe_archive(self, path: str) -> Record:
        """What an archive of this engine says about itself, for one that has no record."""

    def checkpoint_files(self, container: Container) -> tuple[str, ...]:
        """The files and folders of a checkpoint in place: without them there is none."""

    def stamp(self, container: Container) -> str:
        """The stamp of the checkpoint on disk as it is now."""

    def live_pid(self, container: Container) -> int:
        """The host pid of the container's first process now, without asking the engine; 0 if it is not known."""

    def log_path(self, container: Container, action: str) -> str:
        """CRIU's log of the ``action`` (checkpoint or restore), there after a failure."""

    def parse_statistics(self, text: str) -> dict[str, Any]:
        """What the engine printed after a checkpoint or restore; units stand in the names."""

    def cause(self, completed: Completed) -> Cause:
        """What the failure of a checkpoint or restore command means."""

    def has_image(self, runner: Runner, image_id: str) -> bool:
        """Whether the image is on this host."""

    def sharing(self, process_label: str) -> tuple[str, ...]:
        """The names of the containers, running or not, with this label; none when it has no categories."""

    def has_volume(self, name: str) -> bool:
        """Whether a named volume is on this host; False when that is not known without asking the engine."""
