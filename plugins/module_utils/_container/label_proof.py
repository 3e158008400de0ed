# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Proves after a restore that every label is the one from before, or fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import Situation
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels
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
    Thread,
    changed_error,
    compare,
    read_tree,
    summary,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


@dataclass(frozen=True)
class Proof:
    """The result of the comparison. ``wrong`` is the difference that on_label_mismatch: warn has accepted."""

    pairs: tuple[Pair, ...] = ()
    differences: tuple[Difference, ...] = ()
    wrong: CheckpointError | None = None

    @property
    def facts(self) -> dict[str, Any]:
        return {"labels": summary(self.pairs), "label_differences": to_facts(self.differences)}


def grave_error(
    differences: Iterable[Difference], pairs: tuple[Pair, ...], name: str, then: str
) -> CheckpointError | None:
    """Returns the failure for a label that is not a thread's own; None if no difference is grave."""
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


def read_running(paths: Paths, engine: Engine, container: Container) -> dict[int, list[Thread]]:
    """Returns the threads of a container that was just restored, by the pids of their processes.

    Raises:
        CheckpointError: container_ended.
    """
    tree = read_tree(paths, container.pid, host_labels(paths))
    if not tree:
        raise CheckpointError(
            f"Container {container.name!r} ended right after its restore. Read its own log ({engine.name} logs).",
            reason="container_ended",
        )
    return tree


def prove(
    paths: Paths,
    desired: Desired,
    situation: Situation,
    container: Container,
    tree: dict[int, list[Thread]],
    then: str,
) -> Proof:
    """Compares every label with the one before. A grave difference is a failure, unless on_label_mismatch is warn.

    Raises:
        CheckpointError: label_changed, with ``then`` in its message.
    """
    threads = tuple(thread for of_one in tree.values() for thread in of_one)
    labels = host_labels(paths)
    known = situation.known(labels.lsm)
    pairs = compare(known, threads, situation.label(labels.lsm, container))
    before = from_record(situation.record.traces if situation.record else None)
    after = read_traces(paths, tree, labels)
    differences = compare_sockcreate(known, threads) + compare_traces(before, after)
    passed = desired.on_label_mismatch == "warn"
    if passed:
        then = "It keeps running, since on_label_mismatch is warn."
    error = changed_error(pairs, container.name, then, lsm=labels.lsm) or grave_error(
        differences, pairs, container.name, then
    )
    if error is not None and not passed:
        error.facts["label_differences"] = to_facts(differences)
        raise error
    return Proof(pairs, tuple(differences), error)
