# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the options of a store for a process, and turns them into the place where its images are made."""

from __future__ import annotations

import os
import re
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.option import option_invalid
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import LATEST
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import ID
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import NAME, is_text
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_store_path
from ansible_collections.criu.hosts.plugins.module_utils._store.working import working_folder


def store_words(params: Mapping[str, Any]) -> dict[str, str | None]:
    """Returns the options of a store as those of ProcessOptions, with the path where its images are made.

    Raises:
        CheckpointError: option_invalid, store_unsafe.
    """
    store = params["store"].rstrip("/") or "/"
    if params.get("state") == "absent":
        raise option_invalid(
            "store", store, "state absent removes no checkpoint of a store", "Use checkpoint_retention."
        )
    if params.get("parent_path"):
        why = "in a store, the images have no path before they are complete"
        raise option_invalid("parent_path", params["parent_path"], why, "Give parent, the ID of that checkpoint.")
    parent = params.get("parent") or ""
    if parent not in ("", LATEST) and not re.fullmatch(ID, parent):
        why = f"it is neither {LATEST!r} nor the ID of a checkpoint"
        raise option_invalid("parent", parent, why, "Give one that checkpoint_info shows.")
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
        "parent": parent,
        "signing_key": params.get("signing_key"),
    }
