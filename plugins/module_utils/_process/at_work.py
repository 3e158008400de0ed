# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds a CRIU that is still at work for a task which was killed together with its guardian, as by 'pkill -9 python3'.

It holds no lock then (_core/session.py), and what it works on must be neither removed nor taken for its result.
"""

from __future__ import annotations

import os

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.ancestors import trusted_ids
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_bytes

_OPTION = b"--images-dir"


def criu_at(paths: Paths, folder: str) -> int:
    """Returns the id of the process that works on the images in a folder, by its arguments; 0 if there is none.

    Only root's or the caller's counts: anybody may give a process any arguments.
    """
    wanted = os.fsencode(folder)
    for name in sorted(os.listdir(paths.proc)) if os.path.isdir(paths.proc) else ():
        if not name.isdigit():
            continue
        try:
            if os.stat(f"{paths.proc}/{name}").st_uid not in trusted_ids():
                continue
            words = (read_bytes(f"{paths.proc}/{name}/cmdline") or b"").split(b"\0")
        except OSError:
            continue
        if (_OPTION, wanted) in zip(words, words[1:]):
            return int(name)
    return 0


def refuse_at_work(paths: Paths, *folders: str) -> None:
    """Refuses while CRIU works on the images in one of these folders.

    Raises:
        CheckpointError: busy.
    """
    for folder in folders:
        pid = criu_at(paths, folder)
        if pid:
            raise CheckpointError(
                f"Cannot work on the images {folder!r}: CRIU (process {pid}) still does so for a task that was killed. "
                "Run this task again when that has ended.",
                reason="busy",
                path=folder,
            )
