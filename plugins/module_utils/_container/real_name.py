# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the name of a container that a task names by its full id, in the archive that holds it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import attempt
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_record, size_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def named_by_archive(engine: Engine, desired: Desired) -> Desired:
    """Returns the options with the name in the archive, if ``name`` is the id in it; else as they are.

    The caller has judged the path. An archive that cannot be read is a matter of the task.
    """
    path = desired.archive_path
    if path is None or size_of(path) is None:
        return desired
    record = read_record(path)
    if record is None and desired.state == "present":
        record = attempt("read the archive", lambda: engine.describe_archive(path))[0]
    if record is None or record.id != desired.name or not record.name:
        return desired
    return replace(desired, name=record.name)
