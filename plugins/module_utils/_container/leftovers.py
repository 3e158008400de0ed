# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Removes what a failed restore has left in the OCI runtime and in systemd: after it, or before the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore


def _known(work: Restore) -> tuple[str, str]:
    """Returns the id and the OCI runtime that the restored container will have; empty if they are not known."""
    record, container = work.situation.record, work.situation.container
    if work.source == "container" and container is not None:
        return container.id, container.runtime
    return work.imported_id, record.runtime if record is not None else ""


def clear(work: Restore) -> tuple[Command, ...]:
    """Plans to remove what an earlier restore has left; nothing if nothing is seen. The container does not run."""
    steps = work.engine.leftover_steps(*_known(work), alive=lambda: False)
    found = tuple(step for step in steps if step.unless is None or not step.unless())
    if found:
        work.warnings.append(
            f"An earlier restore of container {work.desired.target!r} failed and has left its state in the OCI runtime "
            "or in systemd, which would make this one fail. This task removes that first."
        )
    return found


def leftovers(work: Restore) -> tuple[Command, ...]:
    """Plans to remove what this restore has left if it fails, unless the container runs all the same."""
    container_id, runtime = _known(work)

    def alive() -> bool:
        if work.imports and work.taken:
            return True  # the id is somebody else's
        found, error = attempt("read the container", lambda: work.engine.inspect(work.ctx, container_id))
        return error is not None or (found is not None and found.alive)

    return work.engine.leftover_steps(container_id, runtime, alive)
