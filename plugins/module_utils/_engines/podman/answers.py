# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses what podman prints. Names, labels and images in it come from others: a wrong type is refused."""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Health, ImageInfo
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import (
    first,
    inner,
    objects,
    whole,
    word,
    words,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.inspection import (
    inspected_networks,
    inspected_ports,
    path_in,
    pid_in,
    time_in,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object

STATISTICS = {
    "freezing_time": "freezing_microseconds",
    "frozen_time": "frozen_microseconds",
    "memdump_time": "memory_dump_microseconds",
    "memwrite_time": "memory_write_microseconds",
    "pages_scanned": "scanned_pages",
    "pages_written": "written_pages",
    "forking_time": "forking_microseconds",
    "restore_time": "restore_microseconds",
    "pages_compared": "compared_pages",
    "pages_skipped_cow": "skipped_pages",
    "pages_restored": "restored_pages",
}
# Below a container's own folder; the list is the one that podman removes after a restore without --keep.
CHECKPOINT_FILES = (
    "checkpoint",
    "pre-checkpoint",
    "volumes",
    "restore.log",
    "dump.log",
    "stats-dump",
    "stats-restore",
    "devshm-checkpoint.tar",
    "network.status",
    "rootfs-diff.tar",
    "deleted.files",
)


def _container(entry: dict[str, Any]) -> Container:
    state, host = inner(entry, "State"), inner(entry, "HostConfig")
    mounts = objects(entry.get("Mounts"), "Mounts")
    config = inner(entry, "Config")
    labels = inner(config, "Labels")
    status = word(state, "Status", default=None)
    return Container(
        id=word(entry, "Id", default=None),
        name=word(entry, "Name", default=None),
        status=status,
        pid=pid_in(state),
        image=word(entry, "ImageName"),
        image_id=word(entry, "Image"),
        runtime=word(entry, "OCIRuntime"),
        process_label=word(entry, "ProcessLabel"),
        started_at=time_in(state, "StartedAt"),
        restored_at=time_in(state, "RestoredAt"),
        created_at=time_in(entry, "Created"),
        criu_config=word(inner(inner(entry, "Config"), "Annotations"), "org.criu.config"),
        checkpointed=state.get("Checkpointed") is True,
        auto_remove=host.get("AutoRemove") is True,
        own={
            "work_dir": path_in(entry, "StaticDir"),
            "pid_file": path_in(entry, "PidFile"),
            "network": word(host, "NetworkMode"),
            "apparmor": word(entry, "AppArmorProfile"),
            "dependencies": " ".join(words(entry, "Dependencies")),
            "pod": word(entry, "Pod"),
            "layers": word(inner(inner(entry, "GraphDriver"), "Data"), "LowerDir"),
        },
        labels={key: value for key, value in labels.items() if isinstance(value, str)},
        volumes=tuple(word(mount, "Name") for mount in mounts if mount.get("Type") == "volume" and word(mount, "Name")),
        health=parse_health(config),
        ports=inspected_ports(inner(host, "PortBindings")),
        networks=inspected_networks(inner(inner(entry, "NetworkSettings"), "Networks")),
    )


def parse_health(config: dict[str, Any]) -> Health | None:
    """Returns the health check in the object Config of an inspection; None if podman does not check by itself.

    Raises:
        ValueError: it is not what podman prints.
    """
    check = inner(config, "Healthcheck")
    command, interval = words(check, "Test"), whole(check, "Interval")
    if not command or command[0].upper() == "NONE" or not interval:
        return None
    return Health(command, interval)


def work_dir(container: Container) -> str:
    """Returns the folder of all files of a container; without it, their names would be relative to ours.

    Raises:
        CheckpointError: tool_failed.
    """
    if not container.own["work_dir"]:
        raise CheckpointError(
            f"Cannot find the files of container {container.name!r}: 'podman container inspect' names no StaticDir. Is "
            "podman 4.0 or newer installed?",
            reason="tool_failed",
        )
    return container.own["work_dir"]


def parse_inspect(text: str) -> Container:
    """Returns the first container of ``podman container inspect``.

    Raises:
        CheckpointError: tool_failed, the text is not what podman prints.
    """
    try:
        return _container(first(text))
    except ValueError as error:
        raise CheckpointError(
            f"Cannot read the answer of 'podman container inspect': {error}. Is podman 4.0 or newer installed?",
            reason="tool_failed",
        ) from error


def parse_image(text: str) -> ImageInfo:
    """Returns the first image of ``podman image inspect``.

    Raises:
        CheckpointError: answer_invalid.
    """
    try:
        entry = first(text)
        return ImageInfo(word(entry, "Id", default=None), words(inner(entry, "Config"), "Env"))
    except ValueError as error:
        raise CheckpointError(
            f"Cannot read the output of 'podman image inspect': {error}. Run the command manually.",
            reason="answer_invalid",
        ) from error


def parse_statistics(text: str) -> dict[str, Any]:
    """Returns the numbers that --print-stats prints; empty if there are none."""
    try:
        parsed = parse_object(text)
        listed = objects(parsed.get("container_statistics"), "container_statistics")[:1]
        entries = {**parsed, **(listed[0] if listed else {})}
        criu = inner(entries, "criu_statistics")
        found = {
            name: whole(entries, f"{key}_{action}_duration")
            for key, name in (("podman", "engine_microseconds"), ("runtime", "runtime_microseconds"))
            for action in ("checkpoint", "restore")
            if f"{key}_{action}_duration" in entries
        }
        return {**found, **{name: whole(criu, key) for key, name in STATISTICS.items() if key in criu}}
    except ValueError:
        return {}
