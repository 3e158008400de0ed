# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Compares the files in an archive with the memory in it, if the container ran on while podman wrote the archive.

Podman before 6.0 does not freeze the container between CRIU's dump and the copy of its changed files, rootfs-diff.tar
(podman#28963). CRIU restores no process whose open file has a different size: "File X has bad size".
"""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.streams import Expanded, StreamError
from ansible_collections.criu.hosts.plugins.module_utils._core.tar import Tar
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import objects, word
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import (
    DUMP_LIMIT,
    EXPANDED_LIMIT,
    opened_archive,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError, read_regular_files
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import ZstdError


def changed_files(images: str, archive_path: str) -> tuple[str, ...]:
    """Returns the open files whose size in the archive differs from that in the images; none if that is not known."""
    try:
        dumped = {f"/{one.name.strip('/')}": one.size for one in read_regular_files(images)}
        with opened_archive(archive_path) as archive:
            sizes, mounts = read_sizes(archive, set(dumped))
    except (ImageError, StreamError, ZstdError, OSError, ValueError):
        return ()
    kept = {name: size for name, size in sizes.items() if not any(name.startswith(f"{one}/") for one in mounts)}
    return tuple(sorted(name for name, size in kept.items() if size != dumped[name] and name not in mounts))


def read_sizes(archive: Tar, wanted: set[str]) -> tuple[dict[str, int], set[str]]:
    """Returns the sizes of the wanted files in the archive's copy of the container's files, and all mount points."""
    sizes: dict[str, int] = {}
    mounts: set[str] = set()
    for member in archive:
        name = "/".join(member.parts)
        if name == "spec.dump" and member.kind == "file":
            mounts = parse_mount_points(archive.content(DUMP_LIMIT))
        elif name == "rootfs-diff.tar" and member.kind == "file":
            sizes = _sizes_inside(archive, wanted)
    return sizes, mounts


def _sizes_inside(archive: Tar, wanted: set[str]) -> dict[str, int]:
    """Reads the tar in the current member. What follows a file that grew while it was copied may be missing in it."""
    pieces = archive.pieces()
    sizes: dict[str, int] = {}
    try:
        for member in Tar(Expanded(lambda: next(pieces, b""), EXPANDED_LIMIT)):
            name = f"/{'/'.join(member.parts)}"
            if member.kind == "file" and name in wanted:
                sizes[name] = member.size
    except StreamError:
        pass
    return sizes


def parse_mount_points(text: str | bytes) -> set[str]:
    """Returns the mount points of a container, without that of its root, from its OCI configuration.

    Raises:
        ValueError: it is no such configuration.
    """
    listed: Any = objects(parse_object(text).get("mounts"), "mounts")
    return {word(one, "destination").rstrip("/") for one in listed} - {""}
