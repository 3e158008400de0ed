# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out whether the images of a process that runs on are young enough (max_age)."""

from __future__ import annotations

import time
from calendar import timegm
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._store.age import Stale, stale_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
    from ansible_collections.criu.hosts.plugins.module_utils._process.target import Target
    from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord


def find_stale(options: ProcessOptions, target: Target, record: ProcessRecord) -> Stale | None:
    """Returns why the images of this process have to be made again for their age; None if they are young enough.

    A process that has ended changes no more: its images have its last state, however old they are.
    """
    if target.process is None:
        return None
    if options.when == "always":
        return Stale("of an earlier task")
    text = record.checkpointed_at
    try:
        made: float | None = float(timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        made = None
    return stale_of(options.store or options.images_path, text, made, options.max_age or 0, time.time())
