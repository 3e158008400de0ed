# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Keeps the checkpoint of a container in place, in a folder of our own: containerd has none.

The folder has the layout of an archive (archive.py): config.dump, spec.dump, and checkpoint/ with CRIU's images. With
the file LAYER, the changes to the image's files, it is all that a restore needs. While the container is there, its own
files are newer, so a restore takes these.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import (
    CONFIG,
    DUMP_LIMIT,
    INVENTORY,
    SPEC,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, word
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below
from ansible_collections.criu.hosts.plugins.module_utils._store.record import place_records_dir

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths

LAYER = "rootfs-diff.tar"


def folder_of(paths: Paths, name: str) -> str:
    """Returns the folder of the checkpoint in place of the container with this name."""
    return f"{paths.containers}/place/{name}"


def import_folder(paths: Paths, name: str) -> str:
    """Returns the folder into which an archive of the container with this name is unpacked for its restore."""
    return f"{paths.containers}/import/{name}"


def describe(container: Container, *, leave_running: bool) -> dict[str, Any]:
    """Returns what config.dump says of a container: what checkpointctl reads, and what only this engine needs."""
    own = container.own
    return {
        "engine": "containerd",
        "id": container.id,
        "name": container.name,
        "rootfsImageName": container.image,
        "rootfsImageID": container.image_id,
        "runtime": container.runtime,
        "createdTime": own["original"],
        "ProcessLabel": container.process_label,
        "containerd": {
            "shim": own["shim"],
            "options": parse_object(own["options"]),
            "snapshotter": own["snapshotter"],
            "labels": dict(container.labels),
            "criuConfig": container.criu_config,
            "run": container.run,
            "exit": not leave_running,
        },
    }


def config_text(container: Container, *, leave_running: bool) -> str:
    return json.dumps(describe(container, leave_running=leave_running), indent=1) + "\n"


def spec_text(container: Container) -> str:
    return container.own["spec"] + "\n"


def read_config(folder: str) -> dict[str, Any] | None:
    """Returns the description of the checkpoint in a folder; None if there is none that can be used."""
    try:
        return parse_object(read_below(folder, CONFIG, limit=DUMP_LIMIT))
    except (OSError, ValueError):
        return None


def config_file_of(config: dict[str, Any] | None) -> str:
    """Returns the file that the annotation org.criu.config of the container names; empty if there is none."""
    try:
        return word(inner(config or {}, "containerd"), "criuConfig")
    except ValueError:
        return ""


def image_in(paths: Paths, name: str) -> str:
    """Returns the id of the image in the checkpoint in place; empty if it is not known."""
    found = (read_config(folder_of(paths, name)) or {}).get("rootfsImageID")
    return found if isinstance(found, str) else ""


def labels_of(config: dict[str, Any] | None) -> dict[str, str]:
    """Returns the labels of the container in a description; none if that cannot be used."""
    try:
        found = inner(inner(config or {}, "containerd"), "labels")
    except ValueError:
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def stamp_of(paths: Paths, name: str, container_id: str) -> str:
    """Returns the stamp of the checkpoint in place; empty if there is none, or if it is of a different container."""
    folder = folder_of(paths, name)
    if (read_config(folder) or {}).get("id") != container_id:
        return ""
    try:
        return str(os.stat(os.path.join(folder, INVENTORY)).st_mtime_ns)
    except OSError:
        return ""


def kept_container(paths: Paths, name: str) -> Container | None:
    """Returns a container that only its checkpoint in place has; None if that is not all of it.

    A restore removes the container from containerd before it makes it from the checkpoint: if that fails, this is
    what is left.
    """
    folder = folder_of(paths, name)
    entry = read_config(folder)
    if entry is None or not os.path.isfile(os.path.join(folder, LAYER)):
        return None
    try:
        spec = parse_object(read_below(folder, SPEC, limit=DUMP_LIMIT))
        return _kept(paths, name, entry, spec)
    except (OSError, ValueError):
        return None


def _kept(paths: Paths, name: str, entry: dict[str, Any], spec: dict[str, Any]) -> Container | None:
    identity = word(entry, "id")
    stamp = stamp_of(paths, name, identity)
    if word(entry, "name") != name or not identity or not stamp:
        return None
    return Container(
        id=identity,
        name=name,
        status="exited",
        pid=0,
        image=word(entry, "rootfsImageName"),
        image_id=word(entry, "rootfsImageID"),
        runtime=word(entry, "runtime"),
        process_label=word(entry, "ProcessLabel"),
        checkpointed=True,
        stamp=stamp,
        criu_config=config_file_of(entry),
        labels=labels_of(entry),
        own={"spec": json.dumps(spec), "kept": "yes"},
    )


def outdated_records(paths: Paths) -> tuple[str, ...]:
    """Returns the records of checkpoints in place that are no longer there."""
    folder, places = place_records_dir(paths), os.path.dirname(folder_of(paths, "-"))
    if not os.path.isdir(folder):
        return ()
    names = os.listdir(places) if os.path.isdir(places) else []
    known = {f"{(read_config(os.path.join(places, name)) or {}).get('id')}.json" for name in names}
    return tuple(os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name not in known)
