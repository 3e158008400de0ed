# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out whether an archive of a container that runs on is young enough (max_age)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.durations import seconds_of
from ansible_collections.criu.hosts.plugins.module_utils._store.age import Stale, stale_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def find_stale(desired: Desired, container: Container | None, record: Record | None) -> Stale | None:
    """Returns why the archive of this run has to be made again for its age; None if it is young enough.

    A container that has ended changes no more: its archive has its last state, however old it is.
    """
    if record is None or container is None or not container.alive:
        return None
    if desired.when == "always":
        return Stale("of an earlier task")
    made = record.checkpointed_at
    return stale_of(desired.place or "", made, seconds_of(made), desired.max_age or 0, time.time())
