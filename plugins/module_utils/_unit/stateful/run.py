# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Does what systemd asks of a stateful unit. Nobody else works on the container from the look to the last step."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._host.limits import BASE_SECONDS
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful import starting, stopping
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.unit import Unit


def start(unit: Unit) -> None:
    """Restores the container, or starts it if it has no state that can be restored.

    Raises:
        CheckpointError: both failed, or the restore failed and the unit must not start without its state; busy.
    """
    with unit.held(f"start the unit '{unit.name}.service'"):
        starting.start(unit)


def stop(unit: Unit) -> None:
    """Dumps the container, which ends it; stops it as podman does if the dump fails or is not wanted.

    Raises:
        CheckpointError: it could not be stopped; busy, interrupted: it runs on, and nothing is lost.
    """
    with unit.held(f"stop the unit '{unit.name}.service'"):
        stopping.stop(unit)


def stopped(unit: Unit, result: str, status: str) -> None:
    """Dumps a container that outlived its unit.

    Raises:
        CheckpointError: container_ended, it ended on its own; busy, interrupted: it runs on, and nothing is lost.
    """
    with unit.held(f"end the unit '{unit.name}.service'", BASE_SECONDS):
        stopping.stopped(unit, result, status)
