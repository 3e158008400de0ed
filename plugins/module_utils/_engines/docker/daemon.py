# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Switches the experimental features of Docker's daemon on or off: without them it has no checkpoints.

The daemon reads them at its start only: a reload (SIGHUP) does not change them (26.1.5). A restart ends all containers,
unless live-restore is on. dockerd does not start if an option is both in daemon.json and on its command line.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Outcome,
    Plan,
    Remove,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.places import CONFIG
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import whole
from ansible_collections.criu.hosts.plugins.module_utils._engines.missing import run_engine
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

KEY = "experimental"
_LIMIT = 1 << 20
_INFO = ("docker", "info", "--format", "{{json .}}")
_RESTART = ("systemctl", "restart", "docker.service")


@dataclass(frozen=True)
class Daemon:
    """The daemon, and its file. ``text`` is None without a file; ``experimental`` is None if the daemon does not run.

    ``mode`` is that of the file, or of a new one.
    """

    path: str
    text: str | None
    mode: int = 0o644
    experimental: bool | None = None
    live_restore: bool = False
    running: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What the file sets.

        Raises:
            CheckpointError: config_broken.
        """
        if self.text is None or not self.text.strip():
            return {}
        try:
            return parse_object(self.text)
        except ValueError as error:
            raise CheckpointError(
                f"Cannot read {self.path!r}: it is not the JSON that dockerd reads: {error}. Correct it.",
                reason="config_broken",
                path=self.path,
            ) from error


def read_daemon(ctx: Context) -> Daemon:
    """Reads the daemon and its file.

    Raises:
        CheckpointError: engine_missing, engine_mismatch, answer_invalid, config_is_link, file_failed.
    """
    path = ctx.paths.below(CONFIG)
    text, mode = _read_file(path)
    completed = run_engine(ctx.runner, _INFO, "docker.io")
    if "Cannot connect to the Docker daemon" in completed.err:
        return Daemon(path, text, mode)
    try:
        info = parse_object(check(completed, "ask Docker what it does").out)
        if "ExperimentalBuild" not in info:
            raise CheckpointError(
                "Cannot set up Docker: the command docker is podman's (Debian's package podman-docker), and podman "
                "checkpoints without it. Install docker.io for Docker.",
                reason="engine_mismatch",
            )
        running = whole(info, "ContainersRunning") + whole(info, "ContainersPaused")
    except ValueError as error:
        raise CheckpointError(
            f"Cannot read the answer of 'docker info': {error}. Run the command manually.", reason="answer_invalid"
        ) from error
    on = info["ExperimentalBuild"] is True
    return Daemon(path, text, mode, on, info.get("LiveRestoreEnabled") is True, running)


def _read_file(path: str) -> tuple[str | None, int]:
    """Returns the text of the file, and the mode that it keeps."""
    if os.path.islink(path):
        raise CheckpointError(
            f"Cannot change {path!r}: it is a symbolic link, which a file would replace. Change the file to which it "
            "leads, or remove the link.",
            reason="config_is_link",
            path=path,
        )
    try:
        text = read_text(path, limit=_LIMIT)
        return text, 0o644 if text is None else stat.S_IMODE(os.stat(path).st_mode)
    except OSError as error:
        raise CheckpointError(
            f"Cannot read {path!r}: {error.strerror}. Check what the file is.", reason="file_failed", path=path
        ) from error


def render(settings: dict[str, Any]) -> str:
    """Returns the text of daemon.json; keys keep their order."""
    return json.dumps(settings, indent=4, ensure_ascii=False) + "\n"


def plan_daemon(daemon: Daemon, state: str, *, stop_containers: bool) -> Plan:
    """Plans the file, and the restart of a daemon that runs otherwise than the file says.

    Raises:
        CheckpointError: config_broken, containers_running.
    """
    on = state == "present"
    settings = daemon.settings
    steps: list[Step] = []
    # A daemon that has it already may have it from its command line, and then not from the file as well.
    if on and daemon.experimental is not True and settings.get(KEY) is not True:
        steps += [
            MakeDir(os.path.dirname(daemon.path), mode=0o755, why="make the folder"),
            WriteFile(daemon.path, render({**settings, KEY: True}), mode=daemon.mode, why="write"),
        ]
    elif not on and KEY in settings:
        rest = {key: value for key, value in settings.items() if key != KEY}
        write = WriteFile(daemon.path, render(rest), mode=daemon.mode, why="write")
        steps.append(write if rest else Remove(daemon.path, why="remove"))
    restart = daemon.experimental is (not on) and (on or KEY in settings)
    if restart:
        _refuse_stop(daemon, stop_containers)
        steps.append(Command(_RESTART, why="restart Docker", finish=True, undo=_back(daemon) if steps else ()))
    return Plan(
        before={"experimental": daemon.experimental, "file": settings.get(KEY)},
        after={
            "experimental": on if restart else daemon.experimental,
            "file": (True if steps or settings.get(KEY) is True else settings.get(KEY)) if on else None,
        },
        steps=tuple(steps),
    )


def _back(daemon: Daemon) -> tuple[Step, ...]:
    """Plans to put the file back, with which the daemon did start."""
    if daemon.text is None:
        old: Step = Remove(daemon.path, why="remove")
    else:
        old = WriteFile(daemon.path, daemon.text, mode=daemon.mode, why="put back")
    return (old, Command(_RESTART, why="restart Docker with its old settings", finish=True))


def _refuse_stop(daemon: Daemon, allowed: bool) -> None:
    if not daemon.running or daemon.live_restore or allowed:
        return
    raise CheckpointError(
        f"Cannot restart Docker: containers run ({daemon.running}), and would end; only those with a restart policy "
        "would start again, without their state. Set stop_containers to accept that, or live-restore in "
        f"{daemon.path!r} and reload Docker first.",
        reason="containers_running",
    )


def ensure(ctx: Context, state: str, *, stop_containers: bool) -> Outcome:
    """Reads, plans, applies and reads again.

    Raises:
        CheckpointError: as read_daemon and plan_daemon; option_ineffective.
    """
    with ctx.hold("config", ctx.paths.below(CONFIG)):
        daemon = read_daemon(ctx)
        plan = plan_daemon(daemon, state, stop_containers=stop_containers)
        after = replace(daemon, experimental=plan.after["experimental"])
        if ctx.apply(plan) is not None:
            found = read_daemon(ctx)
            if found.experimental is not after.experimental:
                raise CheckpointError(
                    f"Cannot switch the experimental features of Docker {'on' if after.experimental else 'off'}: the "
                    f"daemon was restarted and does not follow {daemon.path!r}. See 'systemctl cat docker.service'.",
                    reason="option_ineffective",
                    path=daemon.path,
                )
    value = {
        "path": after.path,
        "experimental": after.experimental,
        "live_restore": after.live_restore,
        "containers_running": after.running,
    }
    return Outcome("docker_experimental", value, plan)
