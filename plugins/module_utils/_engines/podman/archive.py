# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads an archive of podman that has no record of ours.

Podman writes config.dump and spec.dump before CRIU's images, and the changed files and volumes last. Only releases
before 4.0 wrote the images, with all memory, first. So the whole archive is read, as podman itself will: its memory
is skipped, and what a later member could replace is seen.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import without_waiting
from ansible_collections.criu.hosts.plugins.module_utils._core.streams import Expanded, StreamError
from ansible_collections.criu.hosts.plugins.module_utils._core.tar import Tar, open_tar
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import to_record
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.binds import parse_binds
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.networks import dumped_networks, dumped_ports
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import MAGIC, ZstdError, ZstdMissing, ZstdReader
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import invalid
from ansible_collections.criu.hosts.plugins.module_utils._store.record import UNKNOWN, Record

DUMPS = ("config.dump", "spec.dump")
# Without a network of its own, a container has null in it, or no such file.
NETWORK = "network.status"
INVENTORY = "checkpoint/inventory.img"
# CRIU's link to the images that these are based on. Podman lets it lead to those of its pre-checkpoint, which an
# archive does not have (libpod/container_internal_common.go, checkpoint).
PARENT, PRE_CHECKPOINT = "checkpoint/parent", "pre-checkpoint"
PARENT_TARGET = f"../{PRE_CHECKPOINT}"
# Podman's own have some 10 KiB.
DUMP_LIMIT = 1 << 20
# Memory full of zeros becomes a thousandth, so no ratio alone separates it from an archive that is made to fill hosts.
EXPANDED_LIMIT, EXPANDED_RATIO = 32 << 30, 64
_IMAGE_ID = r"[0-9a-f]{0,128}"
_NAME = r"(?:[a-zA-Z0-9][a-zA-Z0-9_.-]*)?"


def read_config_dump(path: str) -> Record:
    """Reads the container's own description out of an archive that has no record.

    Raises:
        CheckpointError: archive_invalid; archive_unreadable, this host lacks libzstd.
    """
    try:
        with opened_archive(path) as archive:
            dumps = _find_dumps(archive)
        refuse_tied(path, dumps["config.dump"])
        return record_in(dumps)
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


def refuse_tied(path: str, config: dict[str, Any]) -> None:
    """Refuses an archive that podman refuses, too, but only when a restore has begun.

    Raises:
        CheckpointError: in_pod, has_dependencies.
    """
    what = f"Cannot restore from {path!r}: its container"
    if config.get("pod"):
        raise CheckpointError(
            f"{what} was in a pod, which needs 'podman container restore --pod'. Make the container without the pod, "
            "and a new archive of it.",
            reason="in_pod",
            path=path,
        )
    if config.get("Dependencies"):
        raise CheckpointError(
            f"{what} depends on a different one, and podman imports no such container. Make the container with a "
            "network of its own, and a new archive of it.",
            reason="has_dependencies",
            path=path,
        )


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
    start = handle.read(len(MAGIC))
    handle.seek(0)
    if start != MAGIC:
        reader, members = None, open_tar(handle, limit)
    else:
        reader = ZstdReader(handle)
        members = Tar(Expanded(partial(reader.read, 1 << 16), limit))
    try:
        yield members
    finally:
        if reader is not None:
            reader.close()


def _find_dumps(archive: Tar) -> dict[str, dict[str, Any]]:
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
        raise ValueError(f"its {name} is no JSON that podman writes ({error})") from None


def _word(entries: Any, key: str, pattern: str = "") -> str:
    """Returns the text of a field; empty if it is missing. Podman's texts here have no line feeds."""
    value = entries.get(key) if isinstance(entries, dict) else None
    if value is None and (entries is None or isinstance(entries, dict)):
        return ""
    if not isinstance(value, str) or not value.isprintable() or (pattern and not re.fullmatch(pattern, value)):
        raise ValueError(f"its description has an unusable {key}")
    return value


def _volumes(config: dict[str, Any]) -> Iterator[str]:
    listed = config.get("namedVolumes") or []
    if not isinstance(listed, list):
        raise ValueError("its description has an unusable namedVolumes")
    for volume in listed:
        name = _word(volume, "volumeName", _NAME)
        if name:
            yield name


def record_in(dumps: dict[str, dict[str, Any]]) -> Record:
    """Returns what the descriptions, by their names, say about the container; raises ValueError."""
    config, process = dumps["config.dump"], dumps.get("spec.dump", {}).get("process")
    return Record(
        engine="podman",
        id=_word(config, "id", _IMAGE_ID),
        name=_word(config, "name", _NAME),
        image=_word(config, "rootfsImageName"),
        image_id=_word(config, "rootfsImageID", _IMAGE_ID),
        runtime=_word(config, "runtime"),
        process_label=_word(config, "ProcessLabel") or _word(process, "selinuxLabel"),
        apparmor_profile=_word(process, "apparmorProfile"),
        volumes=tuple(_volumes(config)),
        binds=tuple(to_record(parse_binds(dumps.get("spec.dump", {})))),
        health=_health(config),
        ports=dumped_ports(config),
        networks=dumped_networks(config, dumps.get(NETWORK, {})),
        parent=UNKNOWN if PARENT in dumps else "",
    )


def _health(config: dict[str, Any]) -> dict[str, Any]:
    if not config.get("healthcheck"):
        return {}
    from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import parse_health

    found = parse_health({"Healthcheck": config["healthcheck"]})
    return {"command": list(found.command), "interval": found.interval} if found is not None else {}
