# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lets a paused container of a unit go on, and ends one whose stop was cut off: podman dumps and starts neither."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import BASE_SECONDS
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.unit import COMMAND_SECONDS, Unit


def unpaused(unit: Unit, container: Container) -> Container:
    """Returns the container, which runs again if it was paused.

    Raises:
        CheckpointError: container_paused, it stays paused; interrupted.
    """
    if not container.paused:
        return container
    unit.allow(BASE_SECONDS, "unpausing the container")
    steps = unit.engine.unpause_steps(container, f"unpause container {unit.name!r}")
    dummy, error = attempt(f"unpause container {unit.name!r}", lambda: unit.apply(*steps))
    if error is None:
        unit.say("notice", f"Container {unit.name!r} was paused, and runs again.")
        return replace(container, status="running")
    now = attempt("read the container", unit.inspect)[0]
    if now is not None and now.running:
        return replace(container, status="running")  # somebody else has unpaused it
    if error.reason == "interrupted":
        raise error
    raise CheckpointError(
        f"Cannot unpause container {unit.name!r}: {error.message} It stays paused, and nothing is lost. Unpause it "
        f"({unit.engine.unpause_command(unit.name)}), then start or stop the unit again.",
        reason="container_paused",
    ) from error


def settled(unit: Unit, container: Container | None, seconds: int) -> Container | None:
    """Returns the container; if it is being stopped, as it is when that stop is complete. A failure is a warning."""
    if container is None or container.status != "stopping":
        return container
    unit.allow(seconds + COMMAND_SECONDS, "stopping the container")
    unit.tries("complete the stop", *unit.engine.stop_steps(unit.name, f"stop container {unit.name!r}", seconds))
    return unit.inspect()
