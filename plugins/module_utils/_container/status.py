# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a container whose status allows no checkpoint or no restore, with the way out of that status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

# Of a container that ends at this moment, or whose end was cut off.
ENDING = ("stopping", "removing")
# Of a container that was made and has never run; the words are those of podman and of Docker.
NOT_RUN = ("created", "configured", "initialized")


def paused_error(engine: Engine, container: Container, what: str) -> CheckpointError:
    """Returns the failure for a paused container. ``what`` is the work, such as checkpoint container 'web'."""
    return CheckpointError(
        f"Cannot {what}: it is paused. Unpause it first ({engine.unpause_command(container.name)}).",
        reason="container_paused",
    )


def refuse_paused_or_ending(engine: Engine, container: Container, what: str) -> None:
    """Refuses a container that cannot be restored, although it has not ended.

    Raises:
        CheckpointError: container_paused, container_ending.
    """
    if container.paused:
        raise paused_error(engine, container, what)
    if container.status in ENDING:
        raise CheckpointError(
            f"Cannot {what}: its status is {container.status!r}. Wait until it has ended; if the status stays, stop or "
            f"remove the container again (see '{engine.list_command}').",
            reason="container_ending",
        )


def not_running_error(engine: Engine, container: Container, in_checkpoint: bool, what: str) -> CheckpointError:
    """Returns the failure for a checkpoint of a container that does not run.

    ``in_checkpoint``: its checkpoint in place has stopped it.
    """
    if container.paused:
        return paused_error(engine, container, what)
    status = container.status
    if in_checkpoint:
        why, advice = "a checkpoint in place has stopped it", "Restore it first"
    elif status in ENDING:
        why, advice = f"its status is {status!r}", "Wait until it has ended, then start it"
    elif status in NOT_RUN:
        why, advice = f"it has never run (status {status!r})", "Start it first"
    else:
        why, advice = f"its status is {status!r}", "Start it first"
    return CheckpointError(f"Cannot {what}: it is not running: {why}. {advice}.", reason="container_not_running")
