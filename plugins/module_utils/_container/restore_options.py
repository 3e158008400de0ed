# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the options that a restore has beyond those of a checkpoint, and notes them for the next task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._container.request import RESTORE_FLAGS
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def require_restore_options(ctx: Context, engine: Engine, desired: Desired) -> None:
    """Refuses options that exclude each other, or that the engine refuses; nothing was looked at yet.

    Raises:
        CheckpointError: options_conflict, option_invalid, ability_missing, what the engine raises if it is missing.
    """
    options, what = desired.options, f"restore container {desired.target!r}"
    if options.tcp_close and options.tcp_established:
        raise CheckpointError(
            f"Cannot {what} with tcp_close and tcp_established: connections are either closed or restored. Leave one "
            "of them out.",
            reason="options_conflict",
        )
    if desired.new_name and desired.place is None:
        raise CheckpointError(
            f"Cannot restore container {desired.name!r} as {desired.new_name!r} in place: only what comes from an "
            "archive gets a new name. Give archive_path or store, or leave new_name out.",
            reason="options_conflict",
        )
    if options.publish and desired.place is None:
        raise CheckpointError(
            f"Cannot {what} in place with publish: a container keeps its ports, and only one that comes from an "
            "archive gets others. Give archive_path, or leave publish out.",
            reason="options_conflict",
        )
    engine.require_options(ctx, options, what, archive=desired.place is not None)


def to_facts(options: Options) -> dict[str, Any]:
    """Returns these options as a note of an unfinished restore keeps them."""
    return {**{flag: getattr(options, flag) for flag in RESTORE_FLAGS}, "publish": " ".join(options.publish)}


def other_options(options: Options, noted: Mapping[str, str]) -> tuple[str, ...]:
    """Returns which of these options differ from those of the noted restore, which an earlier release did not note."""
    now = {
        name: ("yes" if value else "") if isinstance(value, bool) else value
        for name, value in to_facts(options).items()
    }
    return tuple(name for name, value in now.items() if noted.get(name, "") != value)
