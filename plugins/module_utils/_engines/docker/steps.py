# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans Docker's commands: checkpoints, restores, and what an archive needs beside them.

Seen with Docker 26.1.5, containerd 1.7.24 and runc 1.1.15:

- A container with a restart policy is started again without its state when its checkpoint ends it, and when the daemon
  starts. So a checkpoint switches the policy off, and the end of a restore switches it on again.
- docker checkpoint create may answer before the daemon knows that the container has ended. Of a container that has
  outlived a restart of the daemon (live-restore), it says that all is well, and the container runs on: the daemon has
  forgotten how its runtime takes options (moby, libcontainerd/remote: v2runcoptions). So a container is paused for its
  checkpoint, and killed while it is paused unless it has ended.
- docker start --checkpoint packs the images into a tar for containerd, and fails if containerd still has the same tar
  from the checkpoint ("content sha256:...: already exists"). A file of our own makes each tar different.
- A container that is paused can be checkpointed, and stays paused with --leave-running; its restore is not paused.
- docker start --checkpoint-dir is refused ("custom checkpointdir is not supported"), so images have to be in the
  container's own folder. A restore keeps them there.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.follow import Follow
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    Remove,
    Rename,
    Step,
    Wait,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker import places
from ansible_collections.criu.hosts.plugins.module_utils._host.process import stat_fields

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options

# How long Docker may take to notice that a container has ended.
END_SECONDS = 60.0
# Beside the images of a checkpoint: makes their tar different from that of an earlier start.
ATTEMPT = "restore-attempt"
OLD = f"{places.CHECKPOINT}.old"


def _argv(*words: str) -> tuple[str, ...]:
    return ("docker", *words)


def update_step(target: str, name: str, policy: str) -> Command:
    """Plans to set the restart policy of a container."""
    why = f"set the restart policy {policy!r} of container {name!r}"
    return Command(_argv("update", f"--restart={policy}", target), why=why, finish=True)


def unpause_step(target: str, why: str, *, always: bool = False) -> Command:
    return Command(_argv("unpause", target), why=why, finish=True, always=always)


def dump_steps(paths: Paths, container: Container, options: Options) -> tuple[Step, ...]:
    """Plans the checkpoint in the container's own folder. An older one is kept until the new one is complete."""
    folder = f"{places.demand_folder(paths, container)}/checkpoints"
    images, old = f"{folder}/{places.CHECKPOINT}", f"{folder}/{OLD}"
    steps: list[Step] = []
    undo: list[Step] = []
    if os.path.isdir(images):
        steps += [Remove(old, why="remove"), Rename(images, old, why="keep the checkpoint at")]
        undo += [Remove(images, why="remove"), Rename(old, images, why="put the checkpoint back at")]
    if not options.leave_running:
        return (*steps, *_ending(paths, container, tuple(undo)), Remove(old, why="remove the older checkpoint"))
    steps.append(_create(container, ("--leave-running",), tuple(undo)))
    return (*steps, Remove(old, why="remove the older checkpoint"))


def _create(container: Container, flags: tuple[str, ...], undo: tuple[Step, ...]) -> Command:
    argv = _argv("checkpoint", "create", *flags, container.id, places.CHECKPOINT)
    return Command(argv, why=f"checkpoint container {container.name!r}", label="checkpoint", finish=True, undo=undo)


def _ending(paths: Paths, container: Container, undo: tuple[Step, ...]) -> tuple[Step, ...]:
    """Plans a checkpoint that ends the container; it does nothing between its dump and its end."""
    name, identity = container.name, container.id
    policy = bool(container.restart)
    go_on = (
        unpause_step(identity, f"let container {name!r} go on"),
        *((update_step(identity, name, container.restart),) if policy else ()),
    )
    return (
        *((update_step(identity, name, "no"),) if policy else ()),
        pause_step(container, undo=go_on[1:]),
        _create(container, (), (*undo, *go_on)),
        Command(
            _argv("kill", identity),
            why=f"end container {name!r}",
            finish=True,
            unless=lambda: _has_ended(paths, container.pid),
            tolerate=lambda dummy: None,  # it has ended meanwhile, or else the next step fails
        ),
        Wait(
            lambda: places.has_ended(paths, container),
            END_SECONDS,
            why=f"see that container {name!r} has ended",
            advice="Look at the journal of Docker (journalctl -u docker).",
            pause=0.02,
        ),
    )


def _has_ended(paths: Paths, pid: int) -> bool:
    """Returns whether the process has ended; that of a dump is a zombie for a moment."""
    return (stat_fields(paths, pid, may_fail=True) or ["Z"])[0] in ("Z", "X")


def pause_step(container: Container, undo: tuple[Step, ...] = ()) -> Command:
    why = f"pause container {container.name!r}"
    return Command(_argv("pause", container.id), why=why, finish=True, undo=undo)


def restore_steps(paths: Paths, container: Container) -> tuple[Step, ...]:
    """Plans the restore from the checkpoint in the container's own folder."""
    folder = places.demand_folder(paths, container)
    start = start_step(container.id, container.name, places.log_finder(paths, container.id), log_of(folder))
    return (attempt_step(places.images_of(paths, container)), start)


def log_of(folder: str) -> str:
    """Returns where CRIU's log of a restore is kept that has failed: in the container's own folder."""
    return f"{folder}/criu-hosts-restore.log"


def attempt_step(images: str) -> WriteFile:
    """Plans what makes the tar of the images different from each earlier one."""
    return WriteFile(f"{images}/{ATTEMPT}", lambda: f"{time.time_ns()}\n", why="number the attempt in")


def start_step(target: str, name: str, find: Callable[[], str], log: str) -> Command:
    argv = _argv("start", "--checkpoint", places.CHECKPOINT, target)
    return Command(argv, why=f"restore container {name!r}", label="restore", finish=True, stream=Follow(find, log))
