# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses the record of a container checkpoint, and names its files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import (
    NAME,
    SHA256,
    TIME,
    Rule,
    check_fields,
    dict_of,
    is_bool,
    is_free_text,
    is_number,
    is_path,
    is_text,
    list_of,
    matches,
    parse_fields,
)


@dataclass(frozen=True)
class Record:
    """The state of a container when it was checkpointed.

    ``ran_on``: the container ran on after that, so the checkpoint in place is not its last state.
    ``apparmor_profile``: the one that the container was made with, as an archive without ``labels`` has it.
    ``ports`` are those of the host, and ``networks`` has the addresses in each network.

    ``pre_dump``: it is the record of a pre-checkpoint, which holds memory only, and ``stamp`` that of its images.
    ``parent`` is the path, from the folder of this archive, of the archive of the pre-checkpoint that it needs, and
    ``parent_sha256`` the digest of that. They are empty for an archive that is whole alone; ``parent`` is UNKNOWN for
    one of which only its images say that it is not.
    """

    engine: str
    id: str
    name: str
    image: str
    image_id: str
    runtime: str
    process_label: str
    run: str = ""
    stamp: str = ""
    checkpointed_at: str = ""
    volumes: tuple[str, ...] = ()
    binds: tuple[dict[str, Any], ...] = ()
    criu: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    selinux: str = ""
    labels: Any = ()
    traces: dict[str, Any] = field(default_factory=dict)
    size_bytes: int = 0
    sha256: str = ""
    ran_on: bool = False
    health: dict[str, Any] = field(default_factory=dict)
    apparmor_profile: str = ""
    ports: tuple[dict[str, Any], ...] = ()
    networks: dict[str, Any] = field(default_factory=dict)
    pre_dump: bool = False
    parent: str = ""
    parent_sha256: str = ""

    @property
    def lsm(self) -> str:
        """The LSM whose labels the record has: without SELinux, only AppArmor labels."""
        return "apparmor" if self.selinux == "disabled" else "selinux"


_MOST = 1 << 20
# The parent of an archive that has no record.
UNKNOWN = "?"


def _is_thread(value: Any) -> bool:
    """Returns whether the value is one thread, as _lsm/thread_labels.py records it. A process chooses its own name."""
    if not isinstance(value, dict) or not all(matches(PID)(value.get(key)) for key in ("pid", "tid")):
        return False
    label = value.get("sockcreate")
    return is_free_text(value.get("comm")) and is_text(value.get("label")) and (label is None or is_text(label))


def _is_traces(value: Any) -> bool:
    """Returns whether the value holds labels of sockets and mounts, as _lsm/object_labels.py records them."""
    pair = list_of(is_text, 2)
    rules = {"sockets": dict_of(lambda one: pair(one) and len(one) == 2, _MOST), "mounts": dict_of(is_text, _MOST)}
    return isinstance(value, dict) and all(key in rules and rules[key](one) for key, one in value.items())


def _is_bind(value: Any) -> bool:
    """Returns whether the value is a file or folder of the host that the container had mounted."""
    if not isinstance(value, dict) or set(value) != {"source", "target", "sheltered"}:
        return False
    places = (value["source"], value["target"])
    return is_bool(value["sheltered"]) and all(is_path(one) for one in places)


def _is_health(value: Any) -> bool:
    """Returns whether the value is a health check: its command, and the nanoseconds between two; or none."""
    if not isinstance(value, dict) or not value:
        return value == {}
    words = list_of(is_free_text, 4096)(value.get("command")) and bool(value["command"])
    return set(value) == {"command", "interval"} and words and is_number(value["interval"], 1)


def _is_port(value: Any) -> bool:
    """Returns whether the value is a row of ports that were published; the address is empty for all of IPv4."""
    if not isinstance(value, dict) or set(value) != {"ip", "port", "count", "protocol"}:
        return False
    numbers = all(is_number(value[key], 1, 1 << 16) for key in ("port", "count"))
    return numbers and matches(ADDRESS)(value["ip"]) and matches(r"[a-z]{1,16}")(value["protocol"])


def _is_parent(value: Any) -> bool:
    """Returns whether the value names a file in the folder of the archive, or in that of another stored checkpoint."""
    if not is_text(value) or value in ("", UNKNOWN):
        return value in ("", UNKNOWN)
    above, dummy, name = value.rpartition("/")
    return name not in ("", ".", "..") and (above == "" or re.fullmatch(r"\.\./[0-9TZa-f-]{1,64}", above) is not None)


# As Python writes an IPv4 or IPv6 address, perhaps with a zone.
ADDRESS = r"([0-9a-f.:]{2,45}(%[A-Za-z0-9_.-]{1,32})?)?"
# In nested pid namespaces a pid is a path.
PID = r"([0-9]{1,10}(/[0-9]{1,10}){0,31})?"
RULES: dict[str, Rule] = {
    **dict.fromkeys(("engine", "id", "name", "image_id"), matches(NAME)),
    **dict.fromkeys(("image", "process_label", "run", "criu", "selinux", "apparmor_profile"), is_text),
    # Which of these the host has is a matter of the engine.
    "runtime": matches(rf"{NAME}|/.+"),
    "stamp": matches(r"[0-9]{0,20}"),
    "checkpointed_at": matches(TIME),
    "volumes": list_of(lambda one: matches(NAME)(one) and one != "", 4096),
    "binds": list_of(_is_bind, 4096),
    "options": dict_of(lambda one: is_bool(one) or is_text(one), 64),
    "labels": list_of(_is_thread, _MOST),
    "traces": _is_traces,
    "size_bytes": is_number,
    "sha256": matches(SHA256),
    "ran_on": is_bool,
    "health": _is_health,
    "ports": list_of(_is_port, 4096),
    "pre_dump": is_bool,
    "parent": _is_parent,
    "parent_sha256": matches(SHA256),
    "networks": dict_of(list_of(matches(ADDRESS), 64), 64),
}


def parse_record(text: str | bytes | None) -> Record:
    """Returns the record in a file.

    Raises:
        ValueError: with the reason, if a field is missing, of another type, or has a value that no checkpoint has.
    """
    entries = parse_fields(text, Record, RULES)
    return record_of(entries)


def record_of(entries: dict[str, Any]) -> Record:
    """Returns the record with these fields, which were checked before."""
    lists = {key: tuple(entries.get(key, ())) for key in ("volumes", "binds", "ports")}
    return Record(**{**entries, **lists})


def find_record(text: str | bytes | None) -> Record | None:
    """Returns the record in a note; None if there is none, or it cannot be used, as one of a different release."""
    try:
        return parse_record(text)
    except ValueError:
        return None


def check_record(record: Record) -> None:
    """Checks what an archive says about itself by the rules of our own records.

    Raises:
        ValueError: as ``parse_record``.
    """
    check_fields(vars(record), RULES)


def record_path(archive_path: str) -> str:
    """Returns the path of the record beside an archive."""
    return f"{archive_path}.json"


def place_records_dir(paths: Paths) -> str:
    """Returns the folder with the records of checkpoints in place."""
    return f"{paths.state}/checkpoints"


def place_record_path(paths: Paths, container_id: str) -> str:
    """Returns the path of the record of a checkpoint in place."""
    return f"{place_records_dir(paths)}/{container_id}.json"


def restored_path(paths: Paths, name: str) -> str:
    """Returns the path of the note about the checkpoint that the container ``name`` was restored from."""
    return f"{paths.state}/restored/{name}.json"
