# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Keeps the record of a checkpoint that is an image: an image cannot carry it, so it stays on the host that made it."""

from __future__ import annotations

import os
from urllib.parse import quote

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, parse_record


def image_record_path(paths: Paths, name: str) -> str:
    """Returns the path of the record of the image with this full name. No two names have one path."""
    return f"{paths.state}/images/{quote(name, safe='')}.json"


def temporary_path(paths: Paths, name: str) -> str:
    """Returns the folder for the engine's temporary files while it makes the image; they have memory in them."""
    return f"{paths.state}/images/.{quote(name, safe='')}.tmp"


def read_image_record(paths: Paths, name: str, identity: str) -> Record | None:
    """Returns the record of the image ``name`` whose id is ``identity``; None if it has none, as of another image.

    Raises:
        ValueError: there is one that cannot be used.
    """
    path = image_record_path(paths, name)
    if not os.path.lexists(os.path.dirname(path)):
        return None
    data = read_own(path)
    record = None if data is None else parse_record(data)
    return record if record is not None and record.sha256 == identity else None
