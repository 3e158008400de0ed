# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses to checkpoint a container that does not run, or that the checkpoint would end for good."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.stopped import is_in_checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import SERVICE
from ansible_collections.criu.hosts.plugins.module_utils._store.record import record_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def refuse(paths: Paths, engine: Engine, desired: Desired, container: Container | None) -> Container:
    """Returns the container, if it can be checkpointed.

    Raises:
        CheckpointError: container_missing, rootless_unsupported, container_paused, container_not_running, auto_remove.
    """
    if container is None:
        engine.explain_absence(desired.name, f"checkpoint container {desired.name!r}")
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r}: there is no such container. See '{engine.list_command}'.",
            reason="container_missing",
        )
    if not container.running:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.status import not_running_error

        raise not_running_error(
            engine, container, is_in_checkpoint(paths, container), f"checkpoint container {desired.name!r}"
        )
    if container.auto_remove and (desired.place is None or desired.image is not None):
        where = "in place" if desired.image is None else f"to the image {desired.image!r}"
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r} {where}: it was made with --rm, so {engine.name} would "
            "remove it with its checkpoint. Give archive_path, or make the container without --rm.",
            reason="auto_remove",
        )
    return container


def refuse_replacing(desired: Desired, archived: Mapping[str, Record]) -> None:
    """Refuses to write over the archive of a pre-checkpoint that another archive needs.

    ``archived`` are the records of archives that the task has completed, by their paths.

    Raises:
        CheckpointError: checkpoint_in_use.
    """
    path = desired.archive_path if desired.store is None else None
    if path is not None and os.path.lexists(record_path(path)):
        # Few archives are replaced: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.chain import require_replaceable

        require_replaceable(path, desired.name, archived)


def refuse_managed(runner: Runner, engine: Engine, desired: Desired, container: Container) -> None:
    """Refuses a checkpoint that would end the container of an active unit: systemd would start it again.

    Raises:
        CheckpointError: unit_managed.
    """
    unit = engine.manager(container)
    # Anybody may give a container any label: what is not the name of a service is no unit, and no option of systemctl.
    if desired.options.runs_on or unit.startswith("-") or not re.match(SERVICE, unit):
        return
    if runner.run(("systemctl", "is-active", "--quiet", "--", unit)).rc == 0:
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r}: it would end, and the active unit {unit!r} would start "
            "it again. Stop the unit instead (a stateful one keeps the state), or set leave_running.",
            reason="unit_managed",
            unit=unit,
        )
