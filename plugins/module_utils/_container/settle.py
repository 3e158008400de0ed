# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Completes or undoes what a task that died had begun on a container, before the next task goes on.

docs/checkpoints.md has the cases. The caller holds the locks, so nobody works on the container or the archive any more.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Callable

from ansible_collections.criu.hosts.plugins.module_utils._container.notes import known_record_path
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan, Remove
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import (
    partial_path,
    pipe_path,
    unfinished_record_path,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.held import Held
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, Step
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


@dataclass
class Settled:
    """The work, and what is then: in check mode, what would be.

    ``record`` belongs to the checkpoint in place, ``archived`` are the records of archives that were completed, by
    their paths. ``proved`` is the restore whose labels were compared, ``removed`` whether the checkpoint in place is
    gone. ``found_at`` says where a completed archive of a store is before this task moves it.
    """

    ctx: Context
    engine: Engine
    held: Held
    task: str
    container: Container | None
    steps: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()
    record: Record | None = None
    archived: dict[str, Record] = field(default_factory=dict)
    found_at: dict[str, str] = field(default_factory=dict)
    proved: Restore | None = None
    removed: bool = False

    def do(self, *steps: Step) -> None:
        self.ctx.apply(Plan(steps=steps))
        self.steps = (*self.steps, *steps)

    def warn(self, text: str) -> None:
        self.warnings = (*self.warnings, text)

    def before(self, work: Callable[[], Outcome]) -> Outcome:
        """Does the work of the task, and returns its outcome with this work in front of it; a failure names it, too."""
        try:
            return self._join(work())
        except CheckpointError as error:
            error.message = " ".join((error.message, *self.warnings))
            raise

    def _join(self, outcome: Outcome) -> Outcome:
        if not self.steps:
            return replace(outcome, warnings=(*self.warnings, *outcome.warnings))
        plan, note = outcome.plan, self.held.note
        begun = note.action if note is not None else "dumping"
        whole = Plan(
            before={**plan.before, "unfinished": begun},
            after={**plan.after, "unfinished": None},
            steps=(*self.steps, *plan.steps),
        )
        return replace(outcome, plan=whole, warnings=(*self.warnings, *outcome.warnings))


def settle(ctx: Context, engine: Engine, held: Held, task: str) -> Settled:
    """Settles what is left of tasks that died. ``task`` is checkpoint, restore or absent.

    Raises:
        CheckpointError: archive_partial; of a restore that has to be proved or repeated container_ended, label_changed
            and others.
    """
    settled = Settled(ctx, engine, held, task, held.container)
    left = [path for path in held.archives if _is_unfinished(path)]
    if held.note is None:
        # A task that died between the removal of its note and that of the record beside it had done all else.
        stray = known_record_path(ctx.paths, held.desired.target)
        if os.path.lexists(stray):
            settled.do(Remove(stray, why="remove the record of what had begun"))
    working = [path for path in held.working if os.path.lexists(path)]
    if not left and not working and held.note is None:
        return settled
    # Few tasks find that an earlier one has died: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished import settle_archive, settle_note

    for path in left:
        settle_archive(settled, path)
    for path in working:
        from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished_store import settle_stored

        settle_stored(settled, path)
    if held.note is not None:
        settle_note(settled, held.note)
    return settled


def _is_unfinished(path: str) -> bool:
    return any(os.path.lexists(one) for one in (partial_path(path), unfinished_record_path(path), pipe_path(path)))
