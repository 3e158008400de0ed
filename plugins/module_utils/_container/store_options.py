# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the options of a store that an argument spec cannot express."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.option import option_invalid
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import is_text
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_store_path

# Where a new checkpoint does not overwrite the old one.
_PLACES = ("store", "archive_path", "create_image")


def check_store_options(params: Mapping[str, Any]) -> None:
    """Refuses options that do not fit together, and a store that others could change.

    Raises:
        CheckpointError: option_invalid, store_unsafe.
    """
    for option, value in (("max_age", params.get("max_age")), ("when", params.get("when"))):
        if value not in (None, "changed") and not any(params.get(one) for one in _PLACES):
            why = "a checkpoint in place would be overwritten before the new one is complete"
            raise option_invalid(option, value, why, "Give store, archive_path or create_image.")
    if params.get("store") is None:
        return
    if params.get("state") == "absent":
        raise option_invalid(
            "store", params["store"], "state absent removes no checkpoint of a store", "Use checkpoint_retention."
        )
    if not is_text(params.get("why") or ""):
        raise option_invalid("why", params["why"][:100], "it is not one line of text", "Give a short text.")
    check_store_path(params["store"])
