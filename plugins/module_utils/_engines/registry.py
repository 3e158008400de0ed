# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The engines by their name: a new one is added here and to the choices of the option engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

ENGINES: dict[str, Callable[[Paths, int], Engine]] = {"podman": Podman}


def engine_for(name: str, ctx: Context) -> Engine:
    """Returns the engine of the option ``engine``, for the host and the caller of the task."""
    return ENGINES[name](ctx.paths, ctx.uid)
