# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the lists of containers and images that podman's storage keeps as files, without a command."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Collection

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import inner, objects, word, words
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_json
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below, read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import categories

# The second has the containers that are made with --rm, as those of Quadlet are.
LISTS = ("containers.json", "volatile-containers.json")
# An entry has some 2 KiB.
LIMIT = 32 << 20
_SETTING = r"^[ \t]*(graphroot|runroot|driver)[ \t]*=[ \t]*[\"']([^\"'\n]+)[\"']"


@dataclass(frozen=True)
class Listed:
    """A container in a list; ``label`` is its process label."""

    id: str
    names: tuple[str, ...]
    label: str


def parse_list(data: bytes | None) -> list[Listed]:
    """Returns the containers in a list; none if the file is absent.

    Raises:
        ValueError: it is no such list.
    """
    entries = objects(parse_json(data), "the list") if data is not None else []
    return [
        Listed(
            word(entry, "id", default=None),
            words(entry, "names"),
            word(inner(entry, "flags"), "ProcessLabel"),
        )
        for entry in entries
    ]


def _settings(paths: Paths) -> dict[str, str]:
    """Returns what storage.conf sets, of the settings that matter here."""
    own = read_text(paths.below("/etc/containers/storage.conf"), may_fail=True)
    text = own or read_text(paths.below("/usr/share/containers/storage.conf"), may_fail=True) or ""
    return dict(re.findall(_SETTING, text, re.MULTILINE))


def roots(paths: Paths) -> tuple[str, str]:
    """Returns the folder that podman keeps, and the one that is emptied at a boot, as storage.conf sets them."""
    given = _settings(paths)
    run = given.get("runroot", "/run/containers/storage")
    return paths.below(given["graphroot"]) if "graphroot" in given else paths.storage, paths.below(run)


def storage_of(paths: Paths) -> dict[str, str]:
    """Returns the folder that podman keeps and its storage driver.

    The folders show the driver once podman has run; before, storage.conf or podman's default (overlay) is taken.
    """
    given, used = _settings(paths), _drivers(roots(paths)[0])
    of_folder = used[0].rpartition("-")[0] if len(used) == 1 else ""
    root = given.get("graphroot", "/var/lib/containers/storage")
    values = {"root": root, "driver": of_folder or given.get("driver", "overlay")}
    return {key: text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for key, text in values.items()}


def _drivers(folder: str) -> list[str]:
    names = os.listdir(folder) if os.path.isdir(folder) else ()
    return sorted(name for name in names if name.endswith("-containers"))


def containers(paths: Paths) -> list[Listed]:
    """Returns all containers of root's podman, whatever the storage driver, also those of a transient store.

    Raises:
        ValueError: they cannot be read, or podman keeps them in another place.
        OSError: a list cannot be read.
    """
    keep, run = roots(paths)
    if not _drivers(keep):
        raise ValueError(f"{keep!r} is not the folder of podman's containers")
    return [
        one
        for root in (keep, run)
        for folder in _drivers(root)
        for name in LISTS
        for one in parse_list(read_below(root, f"{folder}/{name}", limit=LIMIT))
    ]


def images_in(paths: Paths) -> list[dict[str, Any]]:
    """Returns the images in the list; none if there is no list that can be read."""
    try:
        data = read_below(roots(paths)[0], "overlay-images/images.json", limit=LIMIT)
        return objects(parse_json(data), "the list") if data is not None else []
    except (OSError, ValueError):
        return []


def has_image(paths: Paths, image_id: str) -> bool:
    """Returns whether an image is in a list; False if there is no list that can be read."""
    return any(one.get("id") == image_id for one in images_in(paths))


def image_digest(paths: Paths, image_id: str) -> str:
    """Returns the digest of an image's manifest; empty if it is not known."""
    found = next((one.get("digest") for one in images_in(paths) if one.get("id") == image_id), None)
    return found if isinstance(found, str) and re.fullmatch(r"[a-z0-9]{1,32}:[0-9a-f]{32,128}", found) else ""


def has_lost_name(paths: Paths, image_id: str, name: str) -> bool:
    """Returns whether an image is in the list, and none there has the name, which is of this host.

    For an import, podman looks for the name first, and pulls it if it is missing, which fails for localhost
    (pkg/checkpoint/checkpoint_restore.go; seen with 5.4.2). The image itself it then takes by its id.
    """
    images = images_in(paths) if name.startswith("localhost/") else []
    tagged = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    known = [one["names"] for one in images if isinstance(one.get("names"), list)]
    return not any(tagged in names for names in known) and any(one.get("id") == image_id for one in images)


def users_containers(home: str, folder: str, owners: Collection[int]) -> set[str]:
    """Returns the names and ids of the containers of a user, as far as they can be read; the user writes the files."""
    found: set[str] = set()
    for driver in ("overlay", "vfs", "btrfs"):
        for name in LISTS:
            try:
                listed = parse_list(
                    read_below(home, f"{folder}/{driver}-containers/{name}", limit=4 << 20, owners=owners)
                )
            except (OSError, ValueError):
                continue
            found.update(*((one.id, *one.names) for one in listed))
    return found


def holder(paths: Paths, container_id: str) -> str:
    """Returns the name of the container that has this id; empty if there is none, or if the list cannot be read."""
    try:
        found = [one for one in containers(paths) if one.id == container_id]
    except (OSError, ValueError):
        return ""
    return (found[0].names or (found[0].id,))[0] if found else ""


def sharing(paths: Paths, process_label: str) -> tuple[str, ...]:
    """Returns the names of the containers that the categories of this label reach; none if it has no categories.

    Raises:
        CheckpointError: categories_unknown.
    """
    reaches = categories(process_label)
    if not reaches:
        return ()
    try:
        listed = containers(paths)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"Cannot see whether another container has the label {process_label!r}: {error}. Check graphroot "
            "in storage.conf and the lists in that folder, or set shared_categories to accept.",
            reason="categories_unknown",
            label=process_label,
        ) from error
    return tuple(
        (one.names or (one.id[:12],))[0]
        for one in listed
        if one.label == process_label or (categories(one.label) and categories(one.label) <= reaches)
    )
