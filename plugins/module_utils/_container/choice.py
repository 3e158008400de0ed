# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Chooses the engine of a task; with ``auto``, the one that knows the container or has made its checkpoint."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import AUTO, ENGINES, select

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def choose(ctx: Context, desired: Desired) -> tuple[Context, Engine]:
    """Returns the engine of the options, and the context for its containers.

    Raises:
        CheckpointError: option_invalid, ability_missing; with auto engine_ambiguous, engine_unknown, engine_missing,
            container_missing.
    """
    name, root = ctx.params["engine"], ctx.params["engine_root"] or ""
    if root and not os.path.isabs(root):
        raise CheckpointError(
            f"Cannot use engine_root {root!r}: it is no absolute path. Give the whole path.",
            reason="option_invalid",
            option="engine_root",
        )
    if root:
        root = os.path.normpath(root)
    if name == AUTO:
        name = _find(ctx, desired, root)
    chosen = select(name, ctx, root)
    if root and not chosen[1].abilities.root:
        raise CheckpointError(
            f"Cannot use engine_root for container {desired.name!r}: the engine {name!r} does not have it. Leave it "
            "out.",
            reason="ability_missing",
        )
    return chosen


def maker_of(ctx: Context, engine: Engine, name: str) -> tuple[Context, Engine]:
    """Returns the engine that a record names, and the context for its containers; ``engine`` if it is not known."""
    return select(name, ctx) if name in ENGINES and name != engine.name else (ctx, engine)


def _find(ctx: Context, desired: Desired, root: str) -> str:
    """Returns the name of the engine: that of the checkpoint to restore, or else the one that has the container."""
    if "state" not in ctx.params and desired.place is not None:
        return _maker(ctx, desired)
    asked, known, silent = _ask(ctx, desired, root)
    if len(known) > 1:
        raise CheckpointError(
            f"Cannot choose the engine of container {desired.target!r}: {' and '.join(known)} have one of that name. "
            f"Give engine: {' or '.join(known)}.",
            reason="engine_ambiguous",
            engines=known,
        )
    if known:
        return known[0]
    maker, dummy = attempt("find the checkpoint", lambda: _maker(ctx, desired))
    if maker is not None and desired.place is not None:
        return str(maker)  # the container is gone, and its checkpoint is there
    if not asked:
        raise CheckpointError(
            f"Cannot find an engine for container {desired.target!r}: none of {', '.join(ENGINES)} is in PATH. Install "
            "one.",
            reason="engine_missing",
        )
    if desired.state == "absent":
        return asked[0]
    none = f"{' and '.join(asked)} {'has' if len(asked) == 1 else 'have'} none of that name."
    raise CheckpointError(
        f"Cannot find container {desired.target!r}: {' '.join((none, *silent))} Check the name, and the user of the "
        "task.",
        reason="container_missing",
    )


def _ask(ctx: Context, desired: Desired, root: str) -> tuple[list[str], list[str], list[str]]:
    """Returns the engines that are installed, those that have the container, and what those said that failed."""
    asked: list[str] = []
    known: list[str] = []
    owned: list[str] = []
    silent: list[str] = []
    for name in ENGINES:
        scoped, engine = select(name, ctx, root)
        if not ctx.runner.which(engine.program) or (root and not engine.abilities.root):
            continue
        asked.append(name)
        found, error = attempt(f"ask {name}", partial(engine.inspect, scoped, desired.target))
        if error is not None:
            silent.append(f"{name} gave no answer: {error.message}")
        elif found is not None:
            (owned if found.owner else known).append(name)
    return asked, known or owned, silent


def _maker(ctx: Context, desired: Desired) -> str:
    """Returns the engine that has made the checkpoint.

    Raises:
        CheckpointError: engine_unknown; as a restore, archive_path_unsafe, archive_missing, archive_invalid,
            checkpoint_missing, checkpoint_damaged, store_unreadable.
    """
    from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_archive
    from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_path

    if desired.image is not None:
        return next(name for name in ENGINES if select(name, ctx)[1].abilities.image)
    if desired.store is not None:
        from ansible_collections.criu.hosts.plugins.module_utils._store.folder import LATEST, find_stored

        manifest = find_stored(desired.store, "container", desired.name, desired.checkpoint or LATEST).manifest
        maker = str(manifest.record.get("engine", "")) if manifest is not None else ""
    else:
        path = desired.archive_path or ""
        check_path(path)
        maker = read_archive(path, lambda dummy: _refuse(desired, "it has no record")).engine
    return maker if maker in ENGINES else _refuse(desired, f"it is of {maker!r}, which this collection does not know")


def _refuse(desired: Desired, why: str) -> NoReturn:
    raise CheckpointError(
        f"Cannot find out which engine made the checkpoint of container {desired.name!r} in {desired.place!r}: {why}. "
        "Give engine.",
        reason="engine_unknown",
    )
