# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Renders and parses the manifest of a stored checkpoint: which parts it has, and how and where it was made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._store import process_record, record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import (
    NAME,
    TIME,
    Rule,
    demand_fields,
    dict_of,
    is_bool,
    is_number,
    is_text,
    list_of,
    matches,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec, parse_spec

# A manifest with a different number is not understood by this release.
SCHEMA = 1
ID = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}"
# A file of the checkpoint, or one in its folder images: never hidden, and never outside.
_FILE = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,254}"
# A dump of one process has a few files for each of its tasks.
_MOST_PARTS = 1 << 18


@dataclass(frozen=True)
class Part:
    """A file of the checkpoint, by its path below the checkpoint's folder; ``sha256`` is that of the file as stored."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Host:
    """The host on which the checkpoint was made, as far as a restore depends on it; empty is unknown.

    ``cpu_features``: the flags of the first processor in /proc/cpuinfo. ``cgroup_version``: 0, 1 or 2.
    ``network_lock``: the method of CRIU. ``image_digest``: that of the container's image. ``glibc``: the version that
    the image has, where it can be read.
    """

    hostname: str = ""
    architecture: str = ""
    kernel: str = ""
    cpu_features: tuple[str, ...] = ()
    criu: str = ""
    engine: str = ""
    engine_version: str = ""
    runtime: str = ""
    runtime_version: str = ""
    cgroup_version: int = 0
    network_lock: str = ""
    lsm: str = ""
    lsm_mode: str = ""
    image_digest: str = ""
    glibc: str = ""


@dataclass(frozen=True)
class Manifest:
    """One stored checkpoint of the container or process ``name``.

    ``kind`` is "container" or "process". ``made_at`` is UTC. ``record`` has the fields of Record or ProcessRecord.
    ``why`` is the text of the task, ``who`` the user who has logged in. ``parent`` is the id of the stored checkpoint
    that this one needs; empty if it is whole alone. ``options`` are those of the task. ``spec`` is what a trust policy
    judges; None if it is not known.
    """

    id: str
    kind: str
    name: str
    made_at: str
    parts: tuple[Part, ...]
    record: dict[str, Any]
    host: Host = Host()
    why: str = ""
    who: str = ""
    parent: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    spec: Spec | None = None

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)


_RECORDS: dict[str, tuple[type, dict[str, Rule]]] = {
    "container": (record.Record, record.RULES),
    "process": (process_record.ProcessRecord, process_record.RULES),
}
_PART_RULES: dict[str, Rule] = {
    "name": matches(rf"(images/)?{_FILE}"),
    "size_bytes": is_number,
    "sha256": matches(r"[0-9a-f]{64}"),
}
_HOST_RULES: dict[str, Rule] = {
    **dict.fromkeys(("hostname", "architecture", "kernel", "criu", "engine", "engine_version", "runtime"), is_text),
    **dict.fromkeys(("runtime_version", "network_lock", "lsm", "lsm_mode", "image_digest", "glibc"), is_text),
    "cpu_features": list_of(is_text, 4096),
    "cgroup_version": lambda value: is_number(value, below=3),
}
RULES: dict[str, Rule] = {
    "id": matches(ID),
    "kind": lambda value: isinstance(value, str) and value in _RECORDS,
    "name": lambda value: matches(NAME)(value) and value != "",
    "made_at": lambda value: matches(TIME)(value) and value != "",
    # The fields of each are checked one by one after this.
    "parts": lambda value: isinstance(value, list) and 0 < len(value) <= _MOST_PARTS,
    **dict.fromkeys(("record", "host"), lambda value: isinstance(value, dict)),
    "spec": lambda value: value is None or isinstance(value, dict),
    **dict.fromkeys(("why", "who"), is_text),
    "parent": matches(rf"({ID})?"),
    "options": dict_of(lambda one: is_bool(one) or is_number(one) or is_text(one), 64),
}


def _parts(values: list[Any]) -> tuple[Part, ...]:
    for value in values:
        if not isinstance(value, dict):
            raise ValueError("its field 'parts' is not what it should be")
        demand_fields(value, Part, _PART_RULES)
    if len({value["name"] for value in values}) != len(values):
        raise ValueError("it names a part twice")
    return tuple(Part(**value) for value in values)


def _host(value: Mapping[str, Any]) -> Host:
    demand_fields(value, Host, _HOST_RULES)
    return Host(**{**value, "cpu_features": tuple(value.get("cpu_features", ()))})


def parse_manifest(text: str | bytes | None) -> Manifest:
    """Returns the manifest in a file.

    Raises:
        ValueError: with the reason, if it is of another schema, or a field is missing, unknown, of another type, or has
            a value that no checkpoint has.
    """
    entries = parse_object(text)
    schema = entries.pop("schema", None)
    if not is_number(schema) or schema != SCHEMA:
        raise ValueError("it is not a manifest that this release understands")
    demand_fields(entries, Manifest, RULES)
    demand_fields(entries["record"], *_RECORDS[entries["kind"]])
    host, spec = _host(entries.pop("host", {})), entries.pop("spec", None)
    parts = _parts(entries["parts"])
    return Manifest(**{**entries, "parts": parts}, host=host, spec=None if spec is None else parse_spec(spec))


def render_manifest(manifest: Manifest) -> str:
    """Returns the text of a manifest, the same for equal manifests: it is what a signature covers."""
    return json.dumps({"schema": SCHEMA, **asdict(manifest)}, indent=1, sort_keys=True) + "\n"
