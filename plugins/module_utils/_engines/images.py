# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Defines what an engine has to be able to do that makes images of checkpoints (``Abilities.image``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Step
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
    from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
    from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec


@dataclass(frozen=True)
class CheckpointImage:
    """An image on this host that has the name ``name``.

    ``names`` are all that it has. ``folder`` has the files of its checkpoint; empty if they cannot be read.
    ``container``, ``runtime`` and ``host`` are those of the checkpoint; empty if it holds none.
    """

    name: str
    id: str
    names: tuple[str, ...]
    created_at: str
    size_bytes: int
    folder: str
    container: str
    runtime: str
    host: Host


class Images(Protocol):
    """The part of an engine that knows images of checkpoints. Methods that take ``ctx`` run reading commands."""

    def require(self, ctx: Context, what: str) -> None:
        """Refuse an engine whose release has no such images; raises ability_missing, and what a missing engine does."""

    def named(self, ctx: Context, name: str) -> CheckpointImage | None:
        """Read the image with this full name; None if there is none. Raises answer_invalid."""

    def describe(self, image: CheckpointImage) -> Record:
        """What the image says about the container in it; raises archive_invalid, in_pod, has_dependencies."""

    def spec(self, image: CheckpointImage) -> Spec:
        """What a restore from the image brings to a host, for a trust policy; raises ValueError or OSError."""

    def changed_files(self, container: Container, image: CheckpointImage) -> tuple[str, ...]:
        """Open files that changed between the dump and their copy in the image of a container that runs on."""

    def make_steps(self, container: Container, options: Options, name: str, folder: str) -> tuple[Step, ...]:
        """Checkpoint in place and make the image; one command has the label "checkpoint".

        ``folder`` is for temporary files, which have memory in them; it is there, and the caller removes it.
        """

    def import_steps(
        self, image: CheckpointImage, runtime: str, new_name: str | None, options: Options
    ) -> tuple[Step, ...]:
        """Restore from the image with the OCI runtime ``runtime``; one command has the label "restore"."""

    def remove_steps(self, name: str, why: str) -> tuple[Step, ...]:
        """Remove this name, and with the last name the image; one that is gone is no error."""

    def drop_steps(self, identity: str, why: str) -> tuple[Step, ...]:
        """Remove the image with this id if it has no name any more."""

    def leftover_steps(self, container_id: str, since: float) -> tuple[Step, ...]:
        """Remove what a killed command has left in the engine's storage that was to become an image.

        ``since`` is when that command began, in seconds since 1970.
        """
