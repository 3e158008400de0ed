# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Decides whether a checkpoint in place is the last state of its container, or the container ran on after it.

Podman forgets at a boot that it has checkpointed a container, and when it restored it last (5.4.2: Checkpointed and
RestoredAt are reset, StartedAt is kept). So our record decides, too. A start by podman changes StartedAt.
"""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import place_record
from ansible_collections.criu.hosts.plugins.module_utils._core.durations import seconds_of
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def started_since(container: Container, record: Record) -> bool:
    """Returns whether the container was started or restored after the checkpoint of the record; True if unknown."""
    if record.run and record.run == container.run:
        return False
    times = [seconds_of(text) for text in (container.started_at, container.restored_at) if text]
    made = int(record.stamp or 0) / 1e9
    return not times or any(time is None or time > made for time in times)


def ran_on(container: Container, record: Record | None) -> bool:
    """Returns whether the container ran on after its checkpoint in place, as far as that is known."""
    if container.checkpointed or record is None:
        return False
    return record.ran_on or started_since(container, record)


def ran_on_warning(container: Container | None, record: Record | None) -> tuple[str, ...]:
    """Warns that the memory of a checkpoint in place is older than the files of its container."""
    if container is None or record is None or not ran_on(container, record):
        return ()
    return (
        f"Container {container.name!r} ran on after its checkpoint of {record.checkpointed_at or 'an unknown time'}: "
        "its memory is that of the checkpoint, its files and volumes are newer. If it does not work so, start it "
        "without its state.",
    )


def is_in_checkpoint(paths: Paths, container: Container, known: Record | None = None) -> bool:
    """Returns whether the container has stopped in its checkpoint in place, which is then its only state.

    ``known`` is a record that counts if there is none beside the container, or none yet.
    """
    if container.alive or not container.stamp:
        return False
    if container.checkpointed:
        return True
    record = place_record(paths, container)
    if record is None and known is not None and known.stamp == container.stamp:
        record = known
    return record is not None and not ran_on(container, record)
