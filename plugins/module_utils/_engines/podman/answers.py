# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses what podman prints. Names, labels and images in it come from others: a wrong type is refused."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Health, ImageInfo
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_json, parse_object, text_list

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
# The largest number of the system; no process has a larger one.
PID_LIMIT = 1 << 22


def word(entry: dict[str, Any], key: str, *, default: str | None = "") -> str:
    """Returns a text without control characters; ``default`` if it is missing or null.

    Raises:
        ValueError: it is something else, or missing without a default.
    """
    value = entry.get(key)
    value = default if value is None else value
    if not isinstance(value, str) or not all(one.isprintable() or "\udc80" <= one <= "\udcff" for one in value):
        raise ValueError(f"{key} is no text")
    return value


def inner(entry: dict[str, Any], key: str) -> dict[str, Any]:
    """Returns an object in an object; empty if it is missing or null."""
    value = entry.get(key)
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise ValueError(f"{key} is no object")
    return value


def objects(value: Any, what: str) -> list[dict[str, Any]]:
    """Returns a list of objects; empty for null."""
    listed = [] if value is None else value
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ValueError(f"{what} is no list of objects")
    return listed


def whole(entry: dict[str, Any], key: str) -> int:
    """Returns a number that is not negative; 0 if it is missing or null."""
    value = entry.get(key)
    value = 0 if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{key} is no number of things")
    return value


def words(entry: dict[str, Any], key: str) -> tuple[str, ...]:
    """Returns a list of texts; empty if it is missing or null."""
    value = entry.get(key)
    return text_list([] if value is None else value)


# Those that are no networks of podman, although an inspection lists them.
_NONE = ("none", "host")


_LAST_PORT = 65535
_PROTOCOLS = ("tcp", "udp", "sctp")


def address_of(text: str) -> str:
    """Returns an address without the length of its network; empty if it is none."""
    try:
        return str(ipaddress.ip_interface(text).ip) if text else ""
    except ValueError:
        return ""


def port_entries(ip: str, port: int, count: int, protocol: str) -> Iterator[dict[str, Any]]:
    """Yields ports of the host, as a record keeps them; none without a number, as podman then chooses it."""
    everywhere = ip in ("", str(ipaddress.IPv4Address(0)))
    if 0 < port <= _LAST_PORT and 0 < count <= _LAST_PORT and protocol in _PROTOCOLS and (everywhere or address_of(ip)):
        yield {"ip": "" if everywhere else address_of(ip), "port": port, "count": count, "protocol": protocol}


def inspected_ports(bindings: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Returns the ports in HostConfig.PortBindings of an inspection: {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}.

    Raises:
        ValueError: it is not what podman prints.
    """
    found: list[dict[str, Any]] = []
    for name in bindings:
        for one in objects(bindings[name], "PortBindings"):
            number = word(one, "HostPort")
            if re.fullmatch("[0-9]{1,5}", number):
                found += port_entries(word(one, "HostIp"), int(number), 1, name.partition("/")[2] or "tcp")
    return tuple(found)


def inspected_networks(networks: dict[str, Any]) -> dict[str, list[str]]:
    """Returns the addresses by network in NetworkSettings.Networks of an inspection.

    Raises:
        ValueError: it is not what podman prints.
    """
    names = [name for name in networks if name not in _NONE]
    found = {name: inner(networks, name) for name in names}
    keys = ("IPAddress", "GlobalIPv6Address")
    return {name: [text for key in keys if (text := address_of(word(one, key)))] for name, one in found.items()}


def first(text: str) -> dict[str, Any]:
    listed = objects(parse_json(text), "the output")
    if not listed:
        raise ValueError("it is empty")
    return listed[0]


def _path(entry: dict[str, Any], key: str) -> str:
    path = word(entry, key)
    if path and (not os.path.isabs(path) or ".." in path.split("/")):
        raise ValueError(f"{key} is no absolute path")
    return path


def _time(state: dict[str, Any], key: str) -> str:
    text = word(state, key)
    return "" if text.startswith("0001-") else text


def _pid(state: dict[str, Any]) -> int:
    pid = whole(state, "Pid") if state["Status"] in ("running", "paused") else 0
    if pid > PID_LIMIT:
        raise ValueError("Pid is no process id")
    return pid


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
        pid=_pid(state),
        image=word(entry, "ImageName"),
        image_id=word(entry, "Image"),
        runtime=word(entry, "OCIRuntime"),
        process_label=word(entry, "ProcessLabel"),
        started_at=_time(state, "StartedAt"),
        restored_at=_time(state, "RestoredAt"),
        created_at=_time(entry, "Created"),
        criu_config=word(inner(inner(entry, "Config"), "Annotations"), "org.criu.config"),
        checkpointed=state.get("Checkpointed") is True,
        auto_remove=host.get("AutoRemove") is True,
        own={
            "work_dir": _path(entry, "StaticDir"),
            "pid_file": _path(entry, "PidFile"),
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
