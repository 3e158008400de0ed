# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the record of the checkpoint in place of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


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
