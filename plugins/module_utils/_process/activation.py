# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a dump of a service that systemd starts for a socket: systemd keeps the socket, so no restore can take it."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit, show


def refuse_activated(runner: Runner, unit: Unit) -> None:
    """Refuses when a socket unit that is active triggers the service.

    Raises:
        CheckpointError: socket_activated.
    """
    triggers = show(runner, unit.name, ("TriggeredBy",)).get("TriggeredBy", "").split()
    for name in triggers:
        if not name.endswith(".socket") or name.startswith("-"):
            continue
        if show(runner, name, ("ActiveState",)).get("ActiveState") == "active":
            raise CheckpointError(
                f"Cannot checkpoint the unit {unit.name!r}: systemd listens for it on {name!r}, and would keep the "
                f"socket, so the service could not be restored. Stop {name!r} first; the service keeps its own "
                "descriptor of the socket.",
                reason="socket_activated",
            )
