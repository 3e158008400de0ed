# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Pins checkpoints of a store, and removes those that no rule keeps. It asks the engine which of them are needed."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._container.kept import stopped_in
from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished_gone import end_gone
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.option import option_invalid
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, Plan, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import (
    KINDS,
    PINNED,
    Stored,
    list_stored,
    name_path,
    stored_names,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.removal import (
    begun_notes,
    known_of,
    left_steps,
    named_by_drafts,
    named_by_notes,
    named_by_restores,
    removal_steps,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.retention import (
    Rules,
    Verdict,
    plan_retention,
    to_view,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_store_path
from ansible_collections.criu.hosts.plugins.module_utils._store.sweep import Ended, find_copies

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

COUNTS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly")


@dataclass(frozen=True)
class Request:
    """Which checkpoints of a store a task looks at, and what it does with them. None for a kind or name is all."""

    store: str
    kind: str | None = None
    name: str | None = None
    rules: Rules = field(default_factory=Rules)
    pin: tuple[str, ...] = ()
    unpin: tuple[str, ...] = ()


def rules_of(values: Mapping[str, Any]) -> Rules:
    """Returns the rules in the options of a task.

    Raises:
        CheckpointError: option_invalid.
    """
    for option in COUNTS:
        if values.get(option) is not None and values[option] < 0:
            raise option_invalid(option, values[option], "it is below zero", "Give zero or more.")
    max_age = values.get("max_age")
    seconds = None
    if max_age is not None:
        # Few tasks have it: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.age import parse_max_age

        seconds = parse_max_age(max_age)
    counts = {option: values.get(option) or 0 for option in COUNTS}
    return Rules(
        **counts,
        max_age=seconds,
        max_bytes=values.get("max_bytes"),
        max_total_bytes=values.get("max_total_bytes"),
    )


def request_of(params: Mapping[str, Any]) -> Request:
    """Returns the options of a task as one value.

    Raises:
        CheckpointError: option_invalid.
    """
    both = sorted({*params["pin"]} & {*params["unpin"]})
    if both:
        raise option_invalid("pin", both[0], "unpin names it, too", "Name it in one of the two.")
    chosen = {key: params[key] for key in ("store", "kind", "name")}
    return Request(**chosen, rules=rules_of(params), pin=tuple(params["pin"]), unpin=tuple(params["unpin"]))


def prune(
    ctx: Context, engine: Engine, request: Request, end_processes: Callable[..., Ended] = lambda *dummy: Ended()
) -> Outcome:
    """Pins and unpins, sweeps what killed tasks have left, and removes what no rule keeps. Newest first.

    A task that works on a container or process is not disturbed: what that one has stays. ``end_processes``: plans what
    is done with the rests of processes with these names, whose locks it may add to the stack.

    Raises:
        CheckpointError: store_unsafe, checkpoint_missing, busy, store_unreadable, what the engine raises.
    """
    check_store_path(request.store)
    with ExitStack() as stack:
        stack.enter_context(ctx.hold("store", request.store))
        held = _hold_all(ctx, stack, request)
        stored = list_stored(request.store, request.kind, request.name)
        pins = tuple(_pin_steps(stored, request))
        names = {kind: sorted(name for one, name in held if one == kind) for kind in KINDS}
        ended = end_gone(ctx, engine, request.store, names["container"])
        ended += end_processes(ctx, stack, request.store, names["process"])
        folders = [name_path(request.store, *place) for place in sorted(held)]
        swept = (*ended.steps, *left_steps(folders), *_copy_steps(request, folders))
        known = _known(ctx, engine, stored, request, held)
        verdicts = plan_retention(known, request.rules, time.time())
        going = {one.of.key for one in verdicts if not one.keep}
        gone = [one for one in stored if (one.kind, one.name, one.id) in going]
        plan = Plan(
            before={"checkpoints": _ids(stored), "pinned": _ids(one for one in stored if one.pinned)},
            after={
                "checkpoints": _ids(one for one in stored if one not in gone),
                "pinned": [f"{one.of.kind} {one.of.name} {one.of.id}" for one in verdicts if one.of.pinned],
            },
            steps=(*swept, *pins, *(step for one in gone for step in removal_steps(one))),
        )
        ctx.apply(Plan(steps=(*swept, *pins)))
        for one in gone:
            _remove(ctx, one)
    warnings = (*ended.warnings, *_warnings(verdicts))
    facts = {"removed_bytes": sum(one.of.size_bytes for one in verdicts if not one.keep)}
    return Outcome("checkpoints", [to_view(one) for one in verdicts], plan, facts, warnings)


def _hold_all(ctx: Context, stack: ExitStack, request: Request) -> set[tuple[str, str]]:
    """Holds what the task may change, in the order of container_checkpoint; returns kinds and names.

    It waits for a task that works on the named one, or on one with a checkpoint to pin or unpin. Any other that is busy
    is left out: its own task, or the next run, does the rest.

    Raises:
        CheckpointError: busy, store_unreadable.
    """
    marked = {*request.pin, *request.unpin}
    listed = list_stored(request.store, request.kind, request.name) if marked else []
    wanted = {(one.kind, one.name) for one in listed if one.id in marked}
    kinds = KINDS if request.kind is None else (request.kind,)
    places = sorted((kind, name) for kind in kinds for name in stored_names(request.store, kind, request.name))
    if request.name is not None:
        wanted.update(places)
    free = [one for one in places if one[0] != "container" or _holds(ctx, stack, "container", one[1], one in wanted)]
    return {one for one in free if _holds(ctx, stack, "store", name_path(request.store, *one), one in wanted)}


def _holds(ctx: Context, stack: ExitStack, kind: str, thing: str, wait: bool) -> bool:
    try:
        stack.enter_context(ctx.hold(kind, thing, seconds=None if wait else 0))
    except CheckpointError as error:
        if error.reason != "busy" or wait:
            raise
        return False
    return True


def _copy_steps(request: Request, folders: list[str]) -> Iterable[Step]:
    """Yields steps that remove copies which were cut off long ago."""
    for folder, paths in find_copies(request.store, request.kind, request.name, time.time()):
        if folder in folders:
            yield from (Remove(one, why="remove a copy that was cut off") for one in paths if os.path.lexists(one))


def _ids(stored: Iterable[Stored]) -> list[str]:
    return [f"{one.kind} {one.name} {one.id}" for one in stored]


def _known(
    ctx: Context, engine: Engine, stored: list[Stored], request: Request, held: set[tuple[str, str]]
) -> list[Any]:
    """Returns the checkpoints as the rules see them, with the pins that the task sets."""
    free = [one for one in stored if (one.kind, one.name) in held]
    busy = [one for one in stored if (one.kind, one.name) not in held]
    used = {one.path: f"another task works on {one.kind} {one.name!r}" for one in busy}
    used.update(stopped_in(ctx, engine, free))
    used.update(named_by_restores(ctx.paths, free))
    used.update(named_by_drafts(free))
    used.update(named_by_notes(begun_notes(ctx.paths), free))
    found = []
    for one in stored:
        pinned = one.id in request.pin or (one.pinned and one.id not in request.unpin)
        found.append(known_of(one, used, pinned))
    return found


def _pin_steps(stored: list[Stored], request: Request) -> Iterable[Step]:
    known = {one.id for one in stored}
    for wanted in request.pin:
        if wanted not in known:
            raise CheckpointError(
                f"Cannot pin {wanted[:100]!r}: the store {request.store!r} has no such checkpoint among those that "
                "the task looks at. See checkpoint_info for its ids.",
                reason="checkpoint_missing",
                path=request.store,
            )
    for one in stored:
        path = os.path.join(one.path, PINNED)
        if one.id in request.pin and not one.pinned:
            yield WriteFile(path, "", why=f"pin the checkpoint {one.id} with")
        elif one.id in request.unpin and one.pinned:
            yield Remove(path, why=f"unpin the checkpoint {one.id}")


def _remove(ctx: Context, one: Stored) -> None:
    """Removes one checkpoint. The container is held; the images of a process are held here."""
    with ExitStack() as stack:
        if one.kind == "process":
            stack.enter_context(ctx.hold("images", one.part("images")))
        ctx.apply(Plan(steps=removal_steps(one)))


def _warnings(verdicts: list[Verdict]) -> Iterable[str]:
    """Yields what the user can act on: a clock that is, or was, wrong, and what cannot be restored."""
    future = [one.of for one in verdicts if one.of.made > time.time()]
    if future:
        yield (
            f"{len(future)} checkpoints have a time in the future, such as {future[0].id} of {future[0].name!r}. They "
            "are kept, and count for no rule. Check the clock of the host."
        )
    for one in verdicts:
        if one.keep and one.of.fault:
            yield (
                f"The checkpoint {one.of.id} of {one.of.kind} {one.of.name!r} cannot be restored: {one.of.fault}. Look "
                "at it, and remove its folder."
            )
