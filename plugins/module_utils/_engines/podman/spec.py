# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Gathers what a container of podman would bring to a host, for the trust policy: of a container, archive or image.

Of an archive, CRIU's images count as well: the label and the capabilities of a restored process are those in its image,
whatever spec.dump says. What cannot be read is an error here: a policy must not accept what nobody has seen.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.tar import Member, Tar
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import inner, objects, word, words
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import (
    DUMP_LIMIT,
    DUMPS,
    INVENTORY,
    NETWORK,
    PARENT,
    PARENT_TARGET,
    PRE_CHECKPOINT,
    opened_archive,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.capabilities import capability_names
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_tables import Tables, read_image
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._store.image_contents import opened
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec, label_names

IMAGES = "checkpoint"
# Types of mounts that show nothing of the host which the container's namespaces do not have anyway.
VIRTUAL = ("cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs", "tmpfs")
# What the archive of a pre-checkpoint has beside its images (exportCheckpoint in the same file).
_BESIDE = (*DUMPS, NETWORK, "stats-dump", "devshm-checkpoint.tar", "ctr.log")
SETS = ("ambient", "bounding", "effective", "inheritable", "permitted")


def read_spec(container: Container) -> Spec | None:
    """Returns what a container has that podman has started once; None if its configuration cannot be read."""
    folder = container.own["work_dir"]
    text = read_text(f"{folder}/config.json", may_fail=True) if folder else None
    try:
        spec = parse_object(text)
        known = {"id": container.id, "rootfsImageName": container.image, "ProcessLabel": container.process_label}
        return parse_spec(known, spec)
    except ValueError:
        return None


def read_archive_spec(path: str) -> Spec:
    """Returns what an archive of podman has, in one pass and without unpacking it.

    Raises:
        ValueError: it is damaged, has something twice, or has what no archive of podman has.
        OSError: it cannot be read, or is compressed with zstd and this host lacks libzstd.
    """
    tables = Tables(frozenset())
    dumps: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    with opened_archive(path) as archive:
        for member in archive:
            name = _name(member)
            if name in seen and member.kind != "dir":
                raise ValueError(f"it has {name!r} twice")
            seen.add(name)
            try:
                _read(archive, member, name, tables, dumps)
            except ImageError as error:
                raise ValueError(f"its {name!r} cannot be read ({error})") from error
    missing = [name for name in (*DUMPS, INVENTORY) if name not in seen]
    if missing:
        raise ValueError(f"it has no {missing[0]}")
    return _whole_spec(dumps, tables)


def check_pre_checkpoint(path: str) -> None:
    """Refuses an archive of a pre-checkpoint with anything that podman's has not: podman unpacks all of it.

    What the archive of the checkpoint has as well is then written over (importPreCheckpoint and importCheckpointTar in
    libpod/container_internal_common.go), so only names that it may lack could add something.

    Raises:
        ValueError: it is damaged, or has what no pre-checkpoint has.
        OSError: it cannot be read, or is compressed with zstd and this host lacks libzstd.
    """
    seen = set()
    with opened_archive(path) as archive:
        for member in archive:
            name = _name(member)
            images = member.parts[:1] == (PRE_CHECKPOINT,) and len(member.parts) <= 2
            if name and name not in _BESIDE and not images and member.parts[:1] != ("artifacts",):
                raise ValueError(f"it has {name!r}, which no pre-checkpoint has")
            seen.add(name)
    if f"{PRE_CHECKPOINT}/inventory.img" not in seen:
        raise ValueError("it has no pre-checkpoint")


def read_folder_spec(folder: str, dumps: dict[str, dict[str, Any]]) -> Spec:
    """Returns what the files of an archive have that are unpacked in ``folder``; ``dumps`` are its descriptions.

    Raises:
        ValueError: they are damaged, or there is what no archive of podman has.
        OSError: they cannot be read.
    """
    tables, images = Tables(frozenset()), os.path.join(folder, IMAGES)
    if not stat.S_ISDIR(os.lstat(images).st_mode):
        raise ValueError(f"its {IMAGES} is no folder")
    with os.scandir(images) as entries:
        for entry in entries:
            if not entry.is_file(follow_symlinks=False):
                raise ValueError(f"it has {entry.name!r}, which is no file")
            try:
                with opened(entry.path) as handle:
                    read_image(tables, entry.name, os.fstat(handle.fileno()).st_size, handle.read)
            except ImageError as error:
                raise ValueError(f"its {entry.name!r} cannot be read ({error})") from error
    return _whole_spec(dumps, tables)


def _whole_spec(dumps: dict[str, dict[str, Any]], tables: Tables) -> Spec:
    found = parse_spec(*(dumps[name] for name in DUMPS))
    restored = label_names(one.label for one in tables.cores.values())
    able = 0
    for one in tables.cores.values():
        able |= one.capabilities | one.bounding
    return Spec(
        images=found.images,
        labels=_sorted((*found.labels, *restored)),
        mounts=found.mounts,
        capabilities=_sorted((*found.capabilities, *capability_names(able))),
        devices=found.devices,
    )


def _name(member: Member) -> str:
    """Returns the name of a member; podman's archives have only files and folders, and nothing leads out of them.

    The link to the images of a pre-checkpoint leads to what the archive of that has.
    """
    if ".." in member.parts or member.name.startswith("/"):
        raise ValueError("it has a name that leads out of it")
    name = "/".join(member.parts)
    if member.kind not in ("file", "dir") and (name, member.kind, member.target) != (PARENT, "link", PARENT_TARGET):
        raise ValueError(f"it has the {member.kind} {member.name!r}")
    return name


def _read(archive: Tar, member: Member, name: str, tables: Tables, dumps: dict[str, dict[str, Any]]) -> None:
    if name in DUMPS:
        dumps[name] = parse_object(archive.content(DUMP_LIMIT))
    elif len(member.parts) == 2 and member.parts[0] == IMAGES and member.kind == "file":
        read_image(tables, member.parts[1], member.size, archive.part)


def parse_spec(config: dict[str, Any], spec: dict[str, Any]) -> Spec:
    """Returns what a container has by config.dump, and spec.dump or config.json.

    Raises:
        ValueError: they are not what podman writes.
    """
    if inner(spec, "hooks"):
        raise ValueError("it has hooks, which are programs that the runtime would start on this host")
    process, linux = inner(spec, "process"), inner(spec, "linux")
    held = inner(process, "capabilities")
    profile = word(process, "apparmorProfile")
    return Spec(
        images=tuple(one for one in (word(config, "rootfsImageName"),) if one),
        labels=label_names((word(process, "selinuxLabel") or word(config, "ProcessLabel") or profile, profile or None)),
        mounts=_sorted(_mounts(config, spec)),
        capabilities=_sorted(name for kind in SETS for name in words(held, kind)),
        devices=_sorted(_devices(linux)),
    )


def _sorted(found: Any) -> tuple[str, ...]:
    return tuple(sorted(set(found)))


def _mounts(config: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    """Yields the paths of the host that are mounted, without podman's own files of this very container."""
    container = word(config, "id")
    own = re.compile(rf"/(var/lib|run)/containers/storage/[a-z0-9]+-containers/{re.escape(container)}/userdata/")
    for mount in objects(spec.get("mounts"), "mounts"):
        source, kind = word(mount, "source"), word(mount, "type")
        bind = kind in ("", "bind", "none") or {"bind", "rbind"} & set(words(mount, "options"))
        if not source.startswith("/"):
            if bind:
                raise ValueError("it mounts a path of the host that is not absolute")
            if kind not in VIRTUAL:
                yield kind
        elif ".." in source.split("/") or "//" in source:
            raise ValueError(f"it mounts {source!r}, which is no plain path")
        elif not container or own.match(source) is None:
            yield source.rstrip("/") or "/"
    root = word(config, "rootfs")
    if root:
        yield root


def _devices(linux: dict[str, Any]) -> Iterator[str]:
    """Yields the devices that are made, and those that the control group permits."""
    made = set()
    for device in objects(linux.get("devices"), "devices"):
        made.add(_numbers(device))
        # A path alone proves nothing: the author of an archive may give any numbers to it.
        yield f"{word(device, 'path')} {_numbers(device)}"
    for rule in objects(inner(linux, "resources").get("devices"), "devices"):
        if rule.get("allow") is not False and _numbers(rule) not in made:
            yield _numbers(rule)


def _numbers(entry: dict[str, Any]) -> str:
    """Returns the kind and the numbers of a device, "c 10:229"; "*" for all devices."""
    kind = word(entry, "type") or "a"
    numbers = [entry.get(key) for key in ("major", "minor")]
    shown = ["*" if one is None or one == -1 else str(one) for one in numbers]
    return "*" if kind == "a" or shown[0] == "*" else f"{kind} {':'.join(shown)}"
