# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Compares the files in an archive with the memory in it, if the container ran on while podman wrote the archive.

Podman before 6.0 does not freeze the container between CRIU's dump and the copy of its changed files, rootfs-diff.tar
(podman#28963). CRIU restores no process whose open file has a different size: "File X has bad size".
"""

from __future__ import annotations

import os
from typing import Callable, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.streams import CHUNK, CutOff, Expanded, StreamError
from ansible_collections.criu.hosts.plugins.module_utils._core.tar import Tar
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import EXPANDED_LIMIT, opened_archive
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_files import read_contained_files
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import ZstdError
from ansible_collections.criu.hosts.plugins.module_utils._store.image_contents import opened

# The copy of the changed files in an archive.
COPY = "rootfs-diff.tar"


def changed_files(images: str, archive_path: str, layers: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns the open files whose size in the archive differs from that in the images; none if that is not known.

    ``layers`` are the folders of the image. With them, files are found that are neither there nor in the archive.
    """
    try:
        dumped = _dumped(images)
        with opened_archive(archive_path) as archive:
            sizes, whole = read_sizes(archive, set(dumped))
    except (ImageError, StreamError, ZstdError, OSError):
        return ()
    return _changed(dumped, sizes, whole, layers)


def changed_in_folder(images: str, folder: str, layers: Iterable[str] = ()) -> tuple[str, ...]:
    """Does the same for an archive that is unpacked in ``folder``, as in the layer of an image."""
    sizes: dict[str, int] = {}
    try:
        dumped = _dumped(images)
        path = os.path.join(folder, COPY)
        whole = True
        if os.path.lexists(path):
            with opened(path) as handle:
                whole = _read_tar(lambda: handle.read(CHUNK), set(dumped), sizes)
    except (ImageError, StreamError, OSError):
        return ()
    return _changed(dumped, sizes, whole, layers)


def _dumped(images: str) -> dict[str, int | None]:
    return {f"/{one.name.strip('/')}": one.size for one in read_contained_files(images)}


def _changed(
    dumped: dict[str, int | None], sizes: dict[str, int], whole: bool, layers: Iterable[str]
) -> tuple[str, ...]:
    if not whole:
        return (COPY,)
    folders = tuple(layers)
    changed = {name for name, size in sizes.items() if size != dumped[name]}
    for name in dumped.keys() - sizes.keys():
        if folders and not any(os.path.lexists(f"{folder}{name}") for folder in folders):
            changed.add(name)
    return tuple(sorted(changed))


def read_sizes(archive: Tar, wanted: set[str]) -> tuple[dict[str, int], bool]:
    """Returns the sizes of the wanted files in the copy of the container's changed files, and whether it is whole."""
    sizes: dict[str, int] = {}
    whole = True
    for member in archive:
        if member.parts == (COPY,) and member.kind == "file":
            whole = _read_inside(archive, wanted, sizes)
    return sizes, whole


def _read_inside(archive: Tar, wanted: set[str], sizes: dict[str, int]) -> bool:
    """Reads the tar in the current member; returns whether it has an end: podman unpacks none without.

    Podman goes on after "archive/tar: write too long", when a file grew while it was copied; what follows is missing.
    """
    pieces = archive.pieces()
    return _read_tar(lambda: next(pieces, b""), wanted, sizes)


def _read_tar(more: Callable[[], bytes], wanted: set[str], sizes: dict[str, int]) -> bool:
    try:
        for member in Tar(Expanded(more, EXPANDED_LIMIT)):
            name = f"/{'/'.join(member.parts)}"
            if member.kind == "file" and name in wanted:
                sizes[name] = member.size
    except CutOff:
        return False
    except StreamError:
        pass  # podman reads kinds of tar that this one does not
    return True
