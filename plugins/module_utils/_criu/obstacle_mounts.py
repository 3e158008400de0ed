# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The signs of a mount namespace that CRIU cannot dump, such as systemd makes for a service (PrivateTmp)."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Iterator, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import shown
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.obstacle_signs import Around
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import (
    Sight,
    namespace,
    parse_status,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._host.mounts import Mount

# The file systems in criu/filesystems.c that CRIU mounts again itself. Btrfs is in that table as not supported.
SUPPORTED = (
    "proc sysfs devtmpfs binfmt_misc tmpfs devpts simfs pstore mqueue securityfs fusectl debugfs tracefs cgroup "
    "cgroup2 aufs fuse overlay autofs"
).split()
# CRIU dumps /dev/null and its like as it dumps files.
MEMORY_MAJOR = 1


def unsupported(mounts: Sequence[Mount]) -> Mount | None:
    """Returns the first mount of a whole file system that CRIU cannot mount again (validate_mounts in criu/mount.c).

    Parts of the root's own file system are an exception there.
    """
    known = {one.id for one in mounts}
    roots = {one.device for one in mounts if one.parent not in known}
    for one in mounts:
        kind = one.kind.partition(".")[0]
        if one.parent in known and one.root == "/" and one.device not in roots and kind not in SUPPORTED:
            return one
    return None


def foreign_mounts(sight: Sight, around: Around) -> Iterator[str]:
    """validate_mounts in criu/mount.c; dump_one_reg_file in criu/files-reg.c knows the mounts of the namespace only."""
    own, theirs = (namespace(around.paths, pid, "mnt") for pid in ("self", sight.pid))
    if not around.mounts or sight.pid != around.root or not own or not theirs or own == theirs:
        return
    # A process in the namespace of the host need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._host.mounts import read_mounts

    mounts = read_mounts(around.paths, sight.pid)
    wrong = unsupported(mounts)
    if wrong is not None:
        yield f"has a mount namespace of its own, and CRIU cannot dump its mount {shown(wrong.point)} ({wrong.kind})"
    elif not around.pre_dump and mounts:
        yield from _outside(around.paths, sight, {one.id for one in mounts})


def _outside(paths: Paths, sight: Sight, known: set[int]) -> Iterator[str]:
    """Yields what is open on no mount of the namespace: systemd opens /dev/null before it makes the namespace."""
    for file in sight.files:
        if file.descriptor < 0 or not stat.S_ISCHR(file.mode) or os.major(file.device) != MEMORY_MAJOR:
            continue
        info = parse_status(read_text(f"{paths.proc}/{sight.pid}/fdinfo/{file.descriptor}", may_fail=True) or "")
        number = info.get("mnt_id", (-1,))[:1]
        if number and number[0] >= 0 and number[0] not in known:
            yield (
                f"has a mount namespace of its own, but {shown(file.link)} {file.where} is from outside of it, which "
                "CRIU cannot dump"
            )
