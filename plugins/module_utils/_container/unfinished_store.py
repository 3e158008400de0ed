# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Completes or removes a stored checkpoint whose task has died before it was in its place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.stored import end_left
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import partial_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled


def settle_stored(settled: Settled, working: str) -> None:
    """Settles what is in the folder; its archive is settled already, in check mode only in ``settled.archived``."""
    ended = end_left(working, settled.archived, settled.held.desired.signing_key)
    if ended.record is not None:
        name = os.path.join(working, os.path.basename(ended.archive))
        settled.archived.pop(name, None)
        settled.archived[ended.archive] = ended.record
        settled.found_at[ended.archive] = partial_path(name) if os.path.exists(partial_path(name)) else name
        settled.warn(
            f"An earlier task died when it stored a checkpoint of container {ended.record.name!r}. This task has put "
            f"it in place as {os.path.dirname(ended.archive)!r}."
        )
    settled.do(*ended.steps)
