# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the options of a pre-checkpoint and of a checkpoint that is made on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.option import option_invalid

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

_WHY = {
    "create_image": "an image has all memory of a container",
    "encrypt_to": "a restore would need two archives, and only one of them can be decrypted for it",
}


def check_chain_options(params: Mapping[str, Any]) -> None:
    """Refuses options that do not fit together.

    Raises:
        CheckpointError: option_invalid.
    """
    option = "pre_checkpoint" if params["pre_checkpoint"] else "with_previous"
    if params["pre_checkpoint"] and params["with_previous"]:
        why = "a pre-checkpoint is made on no other one (with_previous)"
        raise option_invalid(option, "true", why, "Leave one of the two out.")
    for other, why in _WHY.items():
        if params.get(other):
            raise option_invalid(option, "true", f"{why} ({other})", "Leave one of the two out.")


def require_chain(ctx: Context, engine: Engine, desired: Desired) -> None:
    """Refuses a release of the engine without these options.

    Raises:
        CheckpointError: ability_missing, what the engine raises if it is missing.
    """
    what = f"checkpoint container {desired.name!r}"
    engine.require_options(ctx, desired.options, what, archive=desired.place is not None)
