# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Describes an archive of podman, in the words of checkpointctl, in one pass and without unpacking it.

Only the small members are read, each with a limit. Of the memory, which is most of an archive, only the pages with
command lines and environments are read. So an archive of any size and origin needs little memory and no disk.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO, Collection

from ansible_collections.criu.hosts.plugins.module_utils._core.streams import StreamError
from ansible_collections.criu.hosts.plugins.module_utils._core.tar import Member, Tar
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import (
    DUMP_LIMIT,
    PARENT,
    PRE_CHECKPOINT,
    members_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_tables import Tables, read_image, read_texts
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_json, parse_object
from ansible_collections.criu.hosts.plugins.module_utils._store.contents import describe, escaped

TEXTS = ("config.dump", "spec.dump", "network.status")
IMAGES = "checkpoint"
FOLDERS = ((IMAGES,), (PRE_CHECKPOINT,))
# Podman moves it out of the images.
STATISTICS = "stats-dump"
# The container manager in the annotations of spec.dump, and its name; containerd writes none.
ENGINES = {"libpod": "Podman", "cri-o": "CRI-O"}
MOST = 4096
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def read_contents(handle: BinaryIO, details: Collection[str]) -> dict[str, Any]:
    """Returns what an archive holds; ``details`` are those of the module's option.

    Raises:
        ValueError, ZstdError, OSError: it is damaged, or holds more than is read.
    """
    tables = Tables(frozenset(details))
    dumps: dict[str, dict[str, Any]] = {}
    sizes = dict.fromkeys(("total_size", "memory_pages_size", "amd_gpu_memory_pages_size", "root_fs_diff_size"), 0)
    seen: set[str] = set()
    with members_of(handle) as archive:
        for member in archive:
            name = "/".join(member.parts)
            if ".." in member.parts:
                raise ValueError("it has a name with '..'")
            small = name in (*TEXTS, STATISTICS) or (member.parts[:1] in FOLDERS and len(member.parts) == 2)
            if name == PARENT and member.kind == "link":
                small = False  # to the images of a pre-checkpoint, which are in a different archive
            if small and (name in seen or member.kind != "file"):
                raise ValueError(f"its {escaped(name)} is twice there, or no file")
            if small:
                seen.add(name)
            _measure(member, sizes)
            try:
                _read_member(archive, member, name, tables, dumps)
            except (ImageError, ValueError) as error:
                if isinstance(error, StreamError):
                    raise
                raise ValueError(f"its {escaped(name)} cannot be read ({error})") from error
    only_memory = f"{PRE_CHECKPOINT}/inventory.img" in seen
    for name in ("config.dump", "spec.dump", f"{IMAGES}/inventory.img"):
        if name not in seen and not (only_memory and name.startswith(IMAGES)):
            raise ValueError(f"it has no {name}")
    found = {**_container(dumps), "checkpoint_size": sizes, **describe(tables)}
    return found if "mounts" in tables.wanted else {**found, "mounts": None}


def _measure(member: Member, sizes: dict[str, int]) -> None:
    """Adds the member to the sizes, as checkpointctl counts them."""
    if member.kind != "file" or not member.parts:
        return
    if member.parts[:1] in FOLDERS:
        sizes["total_size"] += member.size
        for start, key in (("pages-", "memory_pages_size"), ("amdgpu-pages-", "amd_gpu_memory_pages_size")):
            sizes[key] += member.size if len(member.parts) > 1 and member.parts[1].startswith(start) else 0
    elif member.parts == ("rootfs-diff.tar",):
        sizes["root_fs_diff_size"] = member.size


def _read_member(archive: Tar, member: Member, name: str, tables: Tables, dumps: dict[str, dict[str, Any]]) -> None:
    if name in TEXTS:
        found = parse_json(archive.content(DUMP_LIMIT))
        # Without a network of its own, a container has null in network.status.
        if not isinstance(found, dict) and name != "network.status":
            raise ValueError("it is no object")
        dumps[name] = found if isinstance(found, dict) else {}
    elif name == STATISTICS:
        read_image(tables, name, member.size, archive.part)
    elif len(member.parts) == 2 and member.parts[0] == IMAGES:
        read_image(tables, member.parts[1], member.size, archive.part)
        read_texts(tables, member.parts[1], member.size, archive.skip, archive.part)


def _text(entries: dict[str, Any], key: str) -> str | None:
    value = entries.get(key)
    return escaped(value) if isinstance(value, str) and value else None


def _object(entries: dict[str, Any], key: str) -> dict[str, Any]:
    value = entries.get(key)
    return value if isinstance(value, dict) else {}


def _list(entries: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = entries.get(key)
    return [one for one in value if isinstance(one, dict)][:MOST] if isinstance(value, list) else []


def _time(entries: dict[str, Any], key: str) -> str | None:
    """Returns a time without the parts of a second; None if it is not set."""
    value = entries.get(key)
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    return None if found is None or found.group(1).startswith("0001-01-01T") else "".join(found.groups())


def _container(dumps: dict[str, dict[str, Any]]) -> dict[str, Any]:
    config, spec, network = (dumps.get(name, {}) for name in TEXTS)
    notes = _object(spec, "annotations")
    engine = ENGINES.get(str(notes.get("io.container.manager")), "containerd")
    name, created = _text(config, "name"), _time(config, "createdTime")
    if engine == "CRI-O":
        created = _time(notes, "io.kubernetes.cri-o.Created")
        name = _text(_metadata(notes), "name")
    elif engine == "containerd":
        name = _text(notes, "io.kubernetes.cri.container-name")
    addresses = {key: [one for one in found if one] for key, found in _addresses(network).items()}
    if engine == "CRI-O":
        addresses["ip"] = [escaped(str(notes.get("io.kubernetes.cri-o.IP.0", "")))]
    return {
        "container": name,
        "id": _text(config, "id"),
        "image": _text(config, "rootfsImageName"),
        "runtime": _text(config, "runtime"),
        "created": created,
        "checkpointed": _time(config, "checkpointedTime"),
        "engine": engine,
        **{key: ", ".join(found) or None for key, found in addresses.items()},
        "mounts": [
            {key: _text(one, key) or "" for key in ("destination", "type", "source")} for one in _list(spec, "mounts")
        ],
    }


def _metadata(notes: dict[str, Any]) -> dict[str, Any]:
    value = notes.get("io.kubernetes.cri-o.Metadata")
    return parse_object(value) if isinstance(value, str) else {}


def _addresses(network: dict[str, Any]) -> dict[str, list[str]]:
    """Returns the addresses in network.status: IP without the length of its network, and MAC."""
    found: dict[str, list[str]] = {"ip": [], "mac": []}
    for name in sorted(network)[:MOST]:
        interfaces = _object(_object(network, name), "interfaces")
        for interface in sorted(interfaces)[:MOST]:
            one = _object(interfaces, interface)
            found["mac"].append(_text(one, "mac_address") or "")
            found["ip"] += [(_text(subnet, "ipnet") or "").partition("/")[0] for subnet in _list(one, "subnets")]
    return found
