# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a restore with an OCI runtime that is not installed, or that the engine does not know."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def require_runtime(ctx: Context, engine: Engine, desired: Desired, runtime: str) -> None:
    """Refuses a restore with ``runtime``, a name or a path; empty if it is not known.

    The engine has chosen the one of a checkpoint in place. That of an archive becomes an argument of the engine, and an
    archive must not choose which program root runs: it has to be one of those that the engine knows.

    Raises:
        CheckpointError: archive_runtime_missing, archive_invalid, ability_missing.
    """
    if not runtime:
        return
    if desired.origin is None:
        there = os.path.exists(ctx.paths.below(runtime)) if "/" in runtime else bool(ctx.runner.which(runtime))
    else:
        there = _is_known(ctx, engine, desired.origin, runtime)
    if not there:
        raise CheckpointError(
            f"Cannot restore container {desired.name!r}: it was checkpointed with the OCI runtime {runtime!r}, which "
            f"is not installed, and no other can restore it. Install {os.path.basename(runtime)!r}.",
            reason="archive_runtime_missing",
        )
    if desired.options.tcp_close:
        _require_tcp_close(ctx, engine, desired, runtime)


def program_of(ctx: Context, engine: Engine, runtime: str) -> str:
    """Returns the program of an OCI runtime, by the places where the engine looks for it."""
    known = (place for place in engine.runtimes().get(runtime, ()) if os.path.exists(ctx.paths.below(place)))
    return next(known, runtime)


def _require_tcp_close(ctx: Context, engine: Engine, desired: Desired, runtime: str) -> None:
    """Refuses tcp_close with an OCI runtime that has no such option: crun 1.23 is the first, runc has none."""
    completed = ctx.runner.run((program_of(ctx, engine, runtime), "restore", "--help"))
    if "--tcp-close" not in completed.out + completed.err:
        raise CheckpointError(
            f"Cannot restore container {desired.target!r} with tcp_close: its OCI runtime {runtime!r} does not have "
            "it, unlike crun 1.23 and newer. Leave tcp_close out, or make the container with such a runtime.",
            reason="ability_missing",
        )


def _is_known(ctx: Context, engine: Engine, archive: str, runtime: str) -> bool:
    """Returns whether the runtime of an archive is there; refuses a path that the engine would not choose itself."""
    known = engine.runtimes()
    if "/" not in runtime:
        places = [ctx.paths.below(place) for place in known.get(runtime, ())]
        return runtime in known and (any(map(os.path.exists, places)) or bool(ctx.runner.which(runtime)))
    # Only an archive with such a path needs to compile these.
    from ansible_collections.criu.hosts.plugins.module_utils._host.ancestors import find_fault
    from ansible_collections.criu.hosts.plugins.module_utils._store.archive import invalid

    if not any(runtime in places for places in known.values()):
        why = f"its OCI runtime {runtime!r} is none that {engine.name} knows"
        raise invalid(archive, why, f"Configure it in {engine.name}, or make the archive again.")
    place = ctx.paths.below(runtime)
    fault = find_fault(place) if os.path.exists(place) else ""
    if fault:
        why = f"its OCI runtime {runtime!r} is not safe to run: {fault}"
        raise invalid(archive, why, "Let the program and its folders belong to root alone.")
    return os.path.exists(place)
