# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what a restore starts from (container, record, archive), and chooses its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import CheckpointImage
    from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


@dataclass(frozen=True)
class Situation:
    """All that a restore is planned from. ``record`` belongs to the archive or image, or to the checkpoint in place.

    ``sha256`` is that of the archive, or the id of the image.
    """

    container: Container | None
    record: Record | None
    selinux: Selinux
    sha256: str = ""
    image: CheckpointImage | None = None

    def previous(self, archive_path: str | None) -> str:
        """Returns the path of the archive of the pre-checkpoint that the archive needs; empty if it is whole alone."""
        if self.record is None or not self.record.parent:
            return ""
        # Few archives need one: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.chain import previous_path

        return previous_path(archive_path, self.record)

    @property
    def before(self) -> tuple[Thread, ...]:
        if self.record is None:
            return ()
        # A task that finds nothing to do need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import from_record

        return from_record(self.record.labels)

    def known(self, lsm: str) -> tuple[Thread, ...]:
        """Returns the threads in the record; none if it has labels of a different LSM."""
        return self.before if self.record is not None and self.record.lsm == lsm else ()

    def label(self, lsm: str, now: Container) -> str:
        """Returns the label that the container had; podman notes none of AppArmor, so that of its first thread then."""
        if lsm == "selinux":
            return self.process_label or now.process_label
        return next((one.label for one in self.known(lsm)), "")

    @property
    def process_label(self) -> str:
        known = self.record.process_label if self.record else ""
        return known or (self.container.process_label if self.container else "")


def place_record(paths: Paths, container: Container) -> Record | None:
    """Returns the record of the checkpoint in place; None if there is none, or if it describes a different one.

    One that cannot be used counts as none: the labels are then compared with the one that the engine has noted.
    """
    try:
        return demand_place_record(paths, container)
    except CheckpointError:
        return None


def demand_place_record(paths: Paths, container: Container) -> Record | None:
    """Returns the record of the checkpoint in place; None if there is none, or if it describes a different one.

    Raises:
        CheckpointError: record_invalid, there is one that cannot be used.
    """
    if not container.stamp:
        return None
    from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import parse_record, place_record_path

    path = place_record_path(paths, container.id)
    try:
        data = read_own(path)
        record = None if data is None else parse_record(data)
    except ValueError as error:
        raise CheckpointError(
            f"Cannot restore container {container.name!r}: the record {path!r} of its checkpoint cannot be used: "
            f"{error}. Remove the record to restore without comparing the label of each thread.",
            reason="record_invalid",
            path=path,
        ) from error
    return record if record is not None and record.stamp == container.stamp else None


def source_of(paths: Paths, engine: Engine, desired: Desired, situation: Situation) -> str:
    """Returns the source of the restore: nowhere (it runs already), container (in place), archive or image.

    Raises:
        CheckpointError: container_missing, rootless_unsupported, not_checkpointed, name_in_use, container_exists,
            container_paused, container_ending.
    """
    container, record = situation.container, situation.record
    if desired.origin is None:
        if container is None:
            engine.explain_absence(desired.name, f"restore container {desired.name!r}")
            raise CheckpointError(
                f"Cannot restore container {desired.name!r}: there is no such container. Give archive_path to "
                "restore it from an archive.",
                reason="container_missing",
            )
        if container.running:
            return "nowhere"
        if container.unsettled:
            from ansible_collections.criu.hosts.plugins.module_utils._container.status import refuse_paused_or_ending

            refuse_paused_or_ending(engine, container, f"restore container {desired.name!r}")
        if container.stamp and (container.checkpointed or record is not None):
            return "container"
        raise CheckpointError(
            f"Cannot restore container {desired.name!r}: its status is {container.status!r} and it has no checkpoint. "
            "Start it, or restore it from an archive (archive_path).",
            reason="not_checkpointed",
        )
    # A restore in place need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore_archive import source_of_archive

    return source_of_archive(paths, engine, desired, container, record)
