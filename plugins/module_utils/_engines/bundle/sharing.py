# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the containers of a runtime that have an SELinux label, from the files that the runtime keeps about each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.config import LIMIT, read_config, text_in
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.places import all_known
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import categories

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths

# The files with the label, and where it is in them: that of runc (libcontainer, configs.Config), and crun's copy of
# config.json.
LABELS = {"state.json": ("config", "process_label"), "config.json": ("process", "selinuxLabel")}


def sharing(paths: Paths, root: str, process_label: str) -> tuple[str, ...]:
    """Returns the containers that have this label, running or in their checkpoint; none if it has no categories."""
    if not categories(process_label):
        return ()
    return tuple(sorted({name for name, label in _labels(paths, root) if label == process_label}))


def _labels(paths: Paths, root: str) -> Iterator[tuple[str, str]]:
    folder = paths.below(root)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        for file, keys in LABELS.items():
            try:
                yield name, text_in(parse_object(read_below(f"{folder}/{name}", file, limit=LIMIT)), *keys)
            except (OSError, ValueError):
                continue
    for name, known in all_known(paths):
        yield name, text_in(read_config(paths, known.bundle), "process", "selinuxLabel")
