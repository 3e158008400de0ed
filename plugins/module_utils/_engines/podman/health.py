# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lets podman check the health of a restored container again.

Podman checks with a timer of systemd, which it makes when a container starts and removes when it ends. A restore makes
none (libpod/container_internal_common.go, restore), so the container would keep its last status for ever.

Since 5.4 ``podman update`` makes the timer again, but only for another interval (seen with 5.4.2, IsTimeChanged). So
the interval becomes a nanosecond longer, and shorter again at the next restore: systemd counts microseconds. That
command also splits the words of the check at spaces (seen with 5.4.2, SetCurrentConfigTo), unless it gets them again.

Before 5.1 the timer has the name of the container's id, and podman removes one of that name when the container ends
(libpod/healthcheck_linux.go, createTimer). Between these, podman remembers a name that nobody else can know.
"""

from __future__ import annotations

import json
import os
import re
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, Command, Step
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Health

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# The first release with ``podman update --health-interval``, and the first that gives its timers random names.
UPDATES, RANDOM_NAMES = (5, 4), (5, 1)
SECOND = 10**9
KEYWORDS = ("CMD", "CMD-SHELL", "NONE")
RESTART = "Restart the container to have its health checked again"


def parse_version(text: str) -> tuple[int, ...]:
    """Returns the version in the output of ``podman --version``; empty if there is none."""
    found = re.search(r"\b([0-9]{1,4})\.([0-9]{1,4})", text)
    return (int(found.group(1)), int(found.group(2))) if found else ()


def duration(nanoseconds: int) -> str:
    """Returns a duration as podman reads it."""
    whole_seconds, rest = divmod(nanoseconds, SECOND)
    return f"{nanoseconds}ns" if rest else f"{whole_seconds}s"


def other_interval(nanoseconds: int) -> int:
    """Returns an interval that differs for podman and is the same for systemd; of that one it returns the first."""
    return nanoseconds - 1 if nanoseconds % 1000 == 1 else nanoseconds + 1


def update_argv(name: str, health: Health) -> tuple[str, ...]:
    """Returns the command that makes the timer again, and keeps the words of the check.

    Raises:
        ValueError: podman would change the check.
    """
    argv = ("podman", "update", f"--health-interval={duration(other_interval(health.interval))}")
    keyword, *rest = health.command
    if keyword == "CMD-SHELL" and rest:
        return (*argv, name)
    if keyword != "CMD" or not rest:
        raise ValueError("podman would change the command of the check")
    if " ".join(rest).split() == rest:
        return (*argv, name)
    if len(rest) == 1 or rest[0].upper() in KEYWORDS:
        raise ValueError("podman would change the command of the check")
    return (*argv, f"--health-cmd={json.dumps(rest)}", name)


def timer_argv(podman: str, container_id: str, health: Health) -> tuple[str, ...]:
    """Returns the command with which podman before 5.1 makes the timer."""
    options = (f"--unit={container_id}", f"--on-unit-inactive={duration(health.interval)}")
    return ("systemd-run", *options, "--timer-property=AccuracySec=1s", podman, "healthcheck", "run", container_id)


def lost(name: str, why: str, advice: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot let podman check the health of container {name!r} again after its restore: {why}. Its health status "
        f"is the one from before the restore. {advice}.",
        reason="tool_failed",
    )


def require_timer(ctx: Context, container_id: str, name: str) -> None:
    """Looks for the timer, since ``podman update`` hides its failure to make one.

    Raises:
        CheckpointError: tool_failed; the message is a whole warning.
    """
    argv = ("systemctl", "list-units", "--type=timer", "--no-legend", "--plain", f"{container_id}*")
    if not ctx.runner.run(argv).out.strip():
        raise lost(name, "podman has made no timer for it", RESTART)


def version_of(ctx: Context) -> tuple[int, ...]:
    """Returns the version of podman; one that cannot be read is taken for a new one, whose failure shows."""
    return parse_version(ctx.runner.run(("podman", "--version")).out) or UPDATES


def can_check_again(version: tuple[int, ...]) -> bool:
    """Returns whether this podman has a way to check the health of a restored container."""
    return version >= UPDATES or version < RANDOM_NAMES


def health_steps(ctx: Context, name: str, container_id: str, health: Health) -> tuple[Step, ...]:
    """Plans the timer of a restored container. ``container_id`` is empty if the restore gives it a new one.

    Raises:
        CheckpointError: tool_failed; the message is a whole warning.
    """
    if not os.path.isdir(ctx.paths.units):
        return ()  # podman makes no timers there
    version, why = version_of(ctx), f"check the health of container {name!r} again"
    if version >= UPDATES:
        try:
            argv = update_argv(name, health)
        except ValueError as error:
            raise lost(name, str(error), RESTART) from error
        look = (Check(partial(require_timer, ctx, container_id, name), why=why),) if container_id else ()
        return (Command(argv, why=why), *look)
    text = ".".join(map(str, version))
    if not can_check_again(version):
        raise lost(name, f"podman {text} cannot", f"{RESTART}, or install podman 5.4 or newer")
    if not container_id:
        raise lost(name, f"podman {text} cannot for a new name", f"{RESTART}, or install podman 5.4 or newer")
    return (
        Command(timer_argv(ctx.runner.which("podman") or "podman", container_id, health), why=why),
        # The timer counts from the end of a check: this is the first, which also corrects the status.
        Command(("systemctl", "start", "--no-block", f"{container_id}.service"), why=why),
    )
