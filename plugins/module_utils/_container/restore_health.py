# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans that the engine checks the health of a restored container again. A failure of it is a warning."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, Command, Step
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Health

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore

CONSEQUENCE = (
    "Its health status is the one from before the restore. Restart the container to have its health checked again."
)


def health_of(work: Restore) -> Health | None:
    """Returns the health check of the container that the restore brings back; None if there is none."""
    container, record = work.situation.container, work.situation.record
    if work.imports:
        known = record.health if record is not None else {}
        return Health(tuple(known["command"]), known["interval"]) if known else None
    return container.health if container is not None else None


def health_steps(work: Restore) -> tuple[Step, ...]:
    """Plans the health checks; none if the engine cannot make them, which becomes a warning."""
    health, container = health_of(work), work.situation.container
    if health is None:
        return ()
    name = work.desired.target
    known = container.id if container is not None else work.imported_id
    steps, error = attempt(
        f"plan the health checks of container {name!r}",
        lambda: work.engine.health_steps(work.ctx, name, known, health),
    )
    warn = partial(_warn, work, [])
    if error is not None:
        warn(error)
        return ()
    return tuple(replace(one, tolerate=warn) if isinstance(one, (Command, Check)) else one for one in steps)


def unplanned(work: Restore) -> tuple[str, ...]:
    """Warns of a health check that no plan knew of: the record of an archive of an earlier release has none."""
    container = work.container
    if not work.imports or container is None or container.health is None or health_of(work) is not None:
        return ()
    return (
        f"The record of the archive does not name the health check of container {container.name!r}, so its health is "
        f"not checked. {CONSEQUENCE}",
    )


def _warn(work: Restore, told: list[CheckpointError], error: CheckpointError) -> None:
    """Warns of the first failure; the steps after it fail for the same reason."""
    if not told:
        # A failed command says nothing about what follows from it.
        work.warnings.append(f"{error.message} {CONSEQUENCE}" if "cmd" in error.facts else error.message)
    told.append(error)
