# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The proof after a restore: every label is what it was; what happens if one is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import Situation
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Plan
from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Container, Engine
from ansible_collections.criu.hosts.plugins.module_utils._lsm.object_labels import (
    Difference,
    compare_sockcreate,
    compare_traces,
    from_record,
    read_traces,
    to_facts,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import (
    Pair,
    changed_error,
    compare,
    read_tree,
    summary,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


@dataclass(frozen=True)
class Proof:
    """What the comparison found. ``wrong`` is the difference that the task let pass (on_label_mismatch: warn)."""

    pairs: tuple[Pair, ...] = ()
    differences: tuple[Difference, ...] = ()
    wrong: CheckpointError | None = None

    @property
    def facts(self) -> dict[str, Any]:
        return {"labels": summary(self.pairs), "label_differences": to_facts(self.differences)}


def grave_error(
    differences: Iterable[Difference], pairs: tuple[Pair, ...], name: str, then: str
) -> CheckpointError | None:
    """The failure for what is not a thread's own label; None if nothing of it is grave."""
    differences = tuple(differences)
    grave = [one for one in differences if one.grave]
    if not grave:
        return None
    first = grave[0]
    return CheckpointError(
        f"Container {name!r} lost a label in the restore: the {first.kind} label of {first.where!r} was "
        f"{first.before!r} and is {first.after!r}. {then} Check that the CRIU in use is linked with libselinux "
        "(role criu.hosts.criu).",
        reason="label_changed",
        label_before=first.before,
        label_after=first.after,
        labels=summary(pairs),
        label_differences=to_facts(differences),
    )


def prove(
    ctx: Context,
    engine: Engine,
    desired: Desired,
    situation: Situation,
    container: Container,
    undo: tuple[Command, str],
) -> Proof:
    """Compare every label with the one before. On a grave difference carry out ``undo`` and fail, or let it pass.

    Raises:
        CheckpointError: container_ended, label_changed.
    """
    if not situation.selinux.enabled:
        return Proof()
    tree = read_tree(container.pid)
    threads = tuple(thread for of_one in tree.values() for thread in of_one)
    if not threads:
        raise CheckpointError(
            f"Container {container.name!r} ended right after its restore. Read its own log ({engine.name} logs).",
            reason="container_ended",
        )
    pairs = compare(situation.before, threads, situation.process_label or container.process_label)
    before = from_record(situation.record.traces if situation.record else None)
    differences = compare_sockcreate(situation.before, threads) + compare_traces(before, read_traces(tree))
    passed = desired.on_label_mismatch == "warn"
    command, said = undo
    then = "It runs on, as on_label_mismatch is warn." if passed else said
    error = changed_error(pairs, container.name, then) or grave_error(differences, pairs, container.name, then)
    if error is not None and not passed:
        error.facts["label_differences"] = to_facts(differences)
        ctx.apply(Plan(steps=(command,)))
        raise error
    return Proof(pairs, tuple(differences), error)
