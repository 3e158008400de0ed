# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Holds one call of the program: whom it speaks to, the lock of the container, and the record that it writes."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Callable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import READ_TAIL, CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Plan, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import stoppable
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import BASE_SECONDS
from ansible_collections.criu.hosts.plugins.module_utils._host.process import boot_id
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import (
    last_path,
    state_dir,
)
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import (
    Last,
    before,
    known_of,
    read_last,
    render_last,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

# Podman may take so long for work that does not depend on memory.
COMMAND_SECONDS = 240
# How long one try to get the lock lasts. Then systemd is asked for more time.
TRY_SECONDS = 20.0
# A task may work on a container for so long, as long as systemd waits: it may be writing gigabytes to a slow disk.
WAIT_SECONDS = 3600.0


def in_journal(error: CheckpointError | None) -> CheckpointError | None:
    """Returns a failure for the journal, which has no facts: its line quotes CRIU already, and names no log_tail."""
    if error is not None:
        error.message = error.message.replace(READ_TAIL, "").rstrip()
    return error


@dataclass
class Unit:
    """One call of the program. ``allow`` asks systemd for more seconds, ``say`` writes to the journal."""

    name: str
    ctx: Context
    engine: Engine
    allow: Callable[[int, str], None]
    say: Callable[[str, str], None]
    last: Last | None = None
    began: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.engine.require_caller(f"start or stop the unit '{self.name}.service'")
        self.last = read_last(self.ctx.paths, self.name)

    @contextmanager
    def held(self, what: str, seconds: float | None = None) -> Iterator[None]:
        """Holds the container, so that no task and no other call works on it. Waits, and says for whom.

        A lock that cannot be made, for example on a full /run, is a warning: the container has to start and to stop.

        Raises:
            CheckpointError: busy, interrupted.
        """
        with ExitStack() as stack:
            end, said = time.monotonic() + (WAIT_SECONDS if seconds is None else seconds), False
            while True:
                error = self._try_to_hold(stack)
                if error is None:
                    break
                if error.reason == "interrupted" or (error.reason == "busy" and time.monotonic() >= end):
                    raise error
                if error.reason != "busy":
                    self.say("warning", f"{error.message} Going on without the lock.")
                    break
                if not said:
                    self.say("notice", f"Waiting to {what}: {error.message.partition('. ')[0]}.")
                said = True
                self.allow(BASE_SECONDS, f"waiting to {what}: a task works on the container")
            self.last = read_last(self.ctx.paths, self.name)
            yield

    def _try_to_hold(self, stack: ExitStack) -> CheckpointError | None:
        def enter() -> None:
            with stoppable():
                stack.enter_context(self.ctx.hold("container", self.name, seconds=TRY_SECONDS))

        return attempt(f"lock container {self.name!r}", enter)[1]

    def inspect(self) -> Container | None:
        """Reads the container.

        Raises:
            CheckpointError: tool_failed; answer_invalid, the engine names no folder of it, so any path would be ours.
        """
        found = self.engine.inspect(self.ctx, self.name)
        if found is not None and not all(os.path.isabs(path) for path in self.engine.checkpoint_files(found)):
            raise CheckpointError(
                f"Cannot work on container {self.name!r}: {self.engine.name} names no absolute path of its folder. "
                f"See '{self.engine.name} container inspect {self.name}'.",
                reason="answer_invalid",
            )
        return found

    def known(self, container: Container) -> Last | None:
        """Returns what the unit knows of the checkpoint in place."""
        return known_of(self.engine.images_dir(container), container, self.last)

    def apply(self, *steps: Step) -> None:
        self.ctx.apply(Plan(steps=steps))

    def tries(self, what: str, *steps: Step) -> bool:
        """Carries out steps without which the work goes on; returns whether they succeeded. A failure is a warning."""
        dummy, error = attempt(what, lambda: self.apply(*steps))
        if error is not None:
            self.say("warning", error.message)
        return error is None

    def note(self, action: str, container: Container | None, **known: Any) -> Last:
        """Records the action, and returns the record. If it cannot be written (full disk), that stops nothing."""
        seconds = round(max(0.0, time.monotonic() - self.clock), 3)
        boot = attempt("read the id of the boot", lambda: boot_id(self.ctx.paths))[0] or ""
        entry = Last(action, round(self.began, 3), seconds, boot, previous=before(self.last), **known)
        if container is not None:
            entry = replace(entry, id=container.id)
        self.tries(
            f"record the action of the unit {self.name!r}",
            MakeDir(state_dir(self.ctx.paths, self.name), 0o700, why="make the folder"),
            WriteFile(last_path(self.ctx.paths, self.name), render_last(entry), why="write the record"),
        )
        self.last = entry
        return entry
