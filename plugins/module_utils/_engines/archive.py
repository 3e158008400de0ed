# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the archives of containers, and packs and unpacks those of engines that have none of their own.

They have the layout of podman's archives, so that checkpointctl and checkpoint_info read them: config.dump names the
container, spec.dump is its OCI configuration, and checkpoint/ has CRIU's images (containers/podman,
libpod/container_internal_common.go; checkpointctl, lib/metadata.go). Those of other engines have also the engine's name
in config.dump, as ``engine``.
"""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Iterator, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import without_waiting
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Step, Unpack
from ansible_collections.criu.hosts.plugins.module_utils._core.streams import Expanded, StreamError
from ansible_collections.criu.hosts.plugins.module_utils._core.tar import Tar, open_tar
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import MAGIC, ZstdError, ZstdMissing, ZstdReader

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record

CONFIG, SPEC, IMAGES = "config.dump", "spec.dump", "checkpoint"
DUMPS = (CONFIG, SPEC)
# Without a network of its own, a container has null in it, or no such file.
NETWORK = "network.status"
# CRIU's statistics, which podman keeps beside the images.
STATISTICS = "stats-dump"
INVENTORY = f"{IMAGES}/inventory.img"
# CRIU's link to the images that these are based on. Podman lets it lead to those of its pre-checkpoint, which an
# archive does not have (libpod/container_internal_common.go, checkpoint).
PARENT, PRE_CHECKPOINT = f"{IMAGES}/parent", "pre-checkpoint"
PARENT_TARGET = f"../{PRE_CHECKPOINT}"
# Podman's own have some 10 KiB.
DUMP_LIMIT = 1 << 20
# Memory full of zeros becomes a thousandth, so no ratio alone separates it from an archive that is made to fill hosts.
EXPANDED_LIMIT, EXPANDED_RATIO = 32 << 30, 64


def pack_step(export: str, named: Mapping[str, tuple[str, ...]]) -> Command:
    """Plans to pack into ``export``, a pipe: the names in each folder. Nothing is compressed: tar would pad that."""
    names = [word for folder, found in named.items() for word in (f"--directory={folder}", *found)]
    argv = ("tar", "--create", "--numeric-owner", f"--file={export}", *names)
    return Command(argv, why="pack the archive", label="export", finish=True)


def unpack_steps(archive: str, folder: str) -> tuple[Step, ...]:
    """Plans to unpack an archive into the new folder ``folder``: what would leave it is refused."""
    return (Unpack(archive, folder, why="unpack the archive", opened=unpacked),)


@contextmanager
def opened_archive(path: str) -> Iterator[Tar]:
    """Opens an archive of podman, whatever its compression, to read its members.

    Raises:
        StreamError, ZstdError, OSError: it cannot be read.
    """
    with open(path, "rb", opener=without_waiting) as handle, members_of(handle) as archive:
        yield archive


@contextmanager
def members_of(handle: BinaryIO) -> Iterator[Tar]:
    """Reads the members of an archive of podman that is open.

    Raises:
        StreamError, ZstdError, OSError: it cannot be read.
    """
    limit = EXPANDED_LIMIT + EXPANDED_RATIO * os.fstat(handle.fileno()).st_size
    if _start(handle) != MAGIC:
        reader, members = None, open_tar(handle, limit)
    else:
        reader = ZstdReader(handle)
        members = Tar(Expanded(partial(reader.read, 1 << 16), limit))
    try:
        yield members
    finally:
        if reader is not None:
            reader.close()


def _start(handle: BinaryIO) -> bytes:
    if isinstance(handle, io.BufferedReader):  # a pipe has no way back
        return handle.peek(len(MAGIC))[: len(MAGIC)]
    start = handle.read(len(MAGIC))
    handle.seek(0)
    return start


@contextmanager
def unpacked(path: str) -> Iterator[Tar]:
    """Opens an archive to unpack it, which may be a pipe: then it waits for the other end.

    Raises:
        StreamError: it cannot be read.
        OSError: it cannot be opened.
    """
    try:
        with open(path, "rb") as handle, members_of(handle) as archive:
            yield archive
    except (ZstdError, ZstdMissing) as error:
        raise StreamError(str(error)) from error


def find_dumps(archive: Tar) -> dict[str, dict[str, Any]]:
    """Returns the two descriptions, by name; and under PARENT an empty one, if the images are based on others.

    Raises:
        ValueError: there is no checkpoint, or one of the files that matter is no file, twice there, or no JSON.
    """
    found: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for member in archive:
        name = "/".join(member.parts)
        if ".." in member.parts:
            raise ValueError("it has a name with '..'")
        if name == "checkpoint" and member.kind != "dir":
            raise ValueError("its checkpoint is no folder")
        if name == PARENT:
            found[PARENT] = {}
        if name not in (*DUMPS, NETWORK, INVENTORY):
            continue
        if name in seen:
            raise ValueError(f"it has {name} twice")
        if member.kind != "file":
            raise ValueError(f"its {name} is no file")
        seen.add(name)
        if name in (*DUMPS, NETWORK):
            found[name] = parse_dump(name, archive.content(DUMP_LIMIT))
    missing = next((name for name in (DUMPS[0], INVENTORY) if name not in seen), None)
    if missing is not None:
        raise ValueError(f"it has no {missing if missing in DUMPS else 'checkpoint'}")
    return found


def parse_dump(name: str, content: bytes) -> dict[str, Any]:
    """Returns a description; raises ValueError if it is none."""
    if name == NETWORK and content.strip() == b"null":
        return {}
    try:
        return parse_object(content)
    except ValueError as error:
        raise ValueError(f"its {name} is no JSON object ({error})") from None


def described(path: str, record_of: Callable[[dict[str, dict[str, Any]]], Record]) -> Record:
    """Returns what the descriptions in an archive say by ``record_of``, which raises ValueError if they say nothing.

    Raises:
        CheckpointError: archive_invalid; archive_unreadable, this host lacks libzstd.
    """
    # Nearly every archive has a record: the others need not compile these.
    from ansible_collections.criu.hosts.plugins.module_utils._store.archive import invalid
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import UNKNOWN

    try:
        with opened_archive(path) as archive:
            dumps = find_dumps(archive)
        return replace(record_of(dumps), parent=UNKNOWN if PARENT in dumps else "")
    except ZstdMissing as error:
        raise CheckpointError(
            f"Cannot read the archive {path!r}, which has no record: {error}. Install that library (Debian: libzstd1, "
            "Red Hat: libzstd), or copy the record to the archive.",
            reason="archive_unreadable",
            path=path,
        ) from error
    except (StreamError, ZstdError) as error:
        raise invalid(path, f"it cannot be read as a checkpoint archive ({error})") from error
    except ValueError as error:
        raise invalid(path, str(error)) from error
    except OSError as error:
        raise invalid(path, f"it cannot be read ({error.strerror})") from error
