# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the options of a store for a process, and turns them into the place where its images are made."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.option import option_invalid
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import LATEST
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import NAME, is_text
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_store_path
from ansible_collections.criu.hosts.plugins.module_utils._store.working import working_folder

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions


def store_words(params: Mapping[str, Any]) -> dict[str, str]:
    """Returns the options of a store as those of ProcessOptions, with the path where its images are made.

    Raises:
        CheckpointError: option_invalid, store_unsafe.
    """
    store = params["store"].rstrip("/") or "/"
    if params.get("state") == "absent":
        raise option_invalid(
            "store", store, "state absent removes no checkpoint of a store", "Use checkpoint_retention."
        )
    for option in ("pre_dump", "parent_path"):
        if params.get(option):
            why = "a store keeps whole checkpoints only"
            raise option_invalid(
                option, str(params[option]), why, "Leave it out, or give images_path instead of store."
            )
    unit = params.get("unit") or ""
    name = params.get("name") or (unit[: -len(".service")] if unit.endswith(".service") else unit)
    if not name or not re.fullmatch(NAME, name):
        why = "it is not a name of letters, digits, '_', '.', ':', '+' and '-'" if name else "the store needs one"
        raise option_invalid("name", name, why, "Give the name that the checkpoints have in the store.")
    if not is_text(params.get("why") or ""):
        raise option_invalid("why", params["why"], "it is not one line of text", "Give a short text.")
    check_store_path(store)
    return {
        "images_path": os.path.join(working_folder(store, "process", name), "images"),
        "store": store,
        "name": name,
        "why": params.get("why") or "",
        "checkpoint": params.get("checkpoint") or LATEST,
    }


def hold_store(ctx: Context, held: ExitStack, options: ProcessOptions) -> None:
    """Holds all checkpoints of the process in the store; it comes before the lock of any images.

    Raises:
        CheckpointError: busy.
    """
    held.enter_context(ctx.hold("store", os.path.dirname(os.path.dirname(options.images_path))))
