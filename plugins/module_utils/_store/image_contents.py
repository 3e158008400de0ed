# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Describes a folder of CRIU's images, as the engines describe their archives: small files whole, of memory little."""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, Collection, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import without_waiting
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_tables import Tables, read_image, read_texts
from ansible_collections.criu.hosts.plugins.module_utils._store.contents import describe, escaped
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import work_path

INVENTORY = "inventory.img"
# CRIU writes it into its work folder.
STATISTICS = "stats-dump"
# A pagemap says where in the pages the texts are, and needs the mappings before it.
_ORDER = (r"inventory\.img", r"pstree\.img", r"mm-", r"pagemap-", r"pages-", r"")
# A dump has a few files for each of its tasks.
MOST = 1 << 20


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Opens a regular file; a link, a pipe or a device is not opened, however often the name changes.

    Raises:
        OSError: EINVAL, it is one of these; or it cannot be read.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.EINVAL, "it is a symbolic link, or no regular file", path)
    with open(path, "rb", opener=lambda name, flags: without_waiting(name, flags | os.O_NOFOLLOW)) as handle:
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", path)
        yield handle


def _place(name: str) -> int:
    return next(index for index, pattern in enumerate(_ORDER) if re.match(pattern, name))


def _files(folder: str) -> list[tuple[str, int]]:
    """Returns the regular files of the folder with their sizes, in the order in which they are read."""
    found: list[tuple[str, int]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(found) >= MOST:
                raise ValueError(f"it has more than {MOST} files")
            if entry.is_file(follow_symlinks=False):
                found.append((entry.name, entry.stat(follow_symlinks=False).st_size))
    return sorted(found, key=lambda one: (_place(one[0]), one[0]))


def _skip(handle: BinaryIO, count: int) -> None:
    handle.seek(count, os.SEEK_CUR)


def _read_one(tables: Tables, path: str, name: str) -> None:
    try:
        with opened(path) as handle:
            size = os.fstat(handle.fileno()).st_size
            read_image(tables, name, size, handle.read)
            read_texts(tables, name, size, partial(_skip, handle), handle.read)
    except (ImageError, ValueError) as error:
        raise ValueError(f"its {escaped(name)} cannot be read ({error})") from error


def read_image_contents(folder: str, details: Collection[str]) -> dict[str, Any]:
    """Returns what the images hold, under the keys of an archive; those of a container are missing.

    Raises:
        ValueError, OSError: they are damaged, or hold more than is read.
    """
    tables = Tables(frozenset(details))
    sizes = dict.fromkeys(("total_size", "memory_pages_size", "amd_gpu_memory_pages_size", "root_fs_diff_size"), 0)
    files = _files(folder)
    if INVENTORY not in (name for name, dummy in files):
        raise ValueError(f"it has no {INVENTORY}")
    for name, size in files:
        sizes["total_size"] += size
        for start, key in (("pages-", "memory_pages_size"), ("amdgpu-pages-", "amd_gpu_memory_pages_size")):
            sizes[key] += size if name.startswith(start) else 0
        _read_one(tables, os.path.join(folder, name), name)
    beside = os.path.join(work_path(folder), STATISTICS)
    if tables.statistics is None and os.path.isfile(beside):
        _read_one(tables, beside, STATISTICS)
    return {"checkpoint_size": sizes, **describe(tables)}
