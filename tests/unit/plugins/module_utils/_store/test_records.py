# SPDX-License-Identifier: GPL-3.0-or-later
"""Each field of a record is of its type, in its range, and one line."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._lsm.object_labels import Traces
from ansible_collections.criu.hosts.plugins.module_utils._lsm.object_labels import to_record as traces_to_record
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread, to_record
from ansible_collections.criu.hosts.plugins.module_utils._store import pre_record, process_record, record
from ansible_collections.criu.hosts.plugins.module_utils._store.pre_record import PreRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record

LABEL = "system_u:system_r:container_t:s0:c1,c2"
SUM = "0123456789abcdef" * 4
THREADS = to_record([Thread("1", "1", "a\nb\udcff", LABEL, ""), Thread("7/1", "7/1", "x", LABEL)])
TRACES = traces_to_record(Traces({"1:3": ("TCP", LABEL)}, {"/a\\040b": LABEL}))
CONTAINER = Record(
    engine="podman",
    id="f00",
    name="web",
    image="localhost/w:latest",
    image_id="1d",
    runtime="/usr/bin/crun",
    process_label=LABEL,
    run="2026-11-22 21:38:08.5 +0100 CET",
    stamp="1795384456390000000",
    checkpointed_at="2026-11-22T21:38:08Z",
    volumes=("a", "b"),
    criu="4.2.1",
    options={"compression": "zstd", "ignore_rootfs": False},
    selinux="enforcing",
    labels=THREADS,
    traces=TRACES,
    size_bytes=(1 << 63) - 1,
    sha256=SUM,
    parent="../20261130T164500Z-1a2b3c4d/archive.tar.zst",
    parent_sha256=SUM,
)
PROCESS = ProcessRecord(
    pid=1 << 22,
    start="8421",
    boot="0d5f1c9e-4b3a-4c58-9d53-5f7f6b1e7a11",
    comm="a\nb",
    exe="/usr/bin/python3 (deleted)",
    cgroup="/system.slice/web.service",
    inventory=SUM,
    unit="web@1.service",
    inherit=[[1, 4711], [2, (1 << 63) - 1]],
    leave_running=True,
    parent="/var/lib/\udcff",
    parent_inventory=SUM,
    checkpointed_at="2026-11-22T21:38:08Z",
    criu="4.2.1",
    selinux="enforcing",
    external=["unix[7097]"],
)
PRE = PreRecord("f00", "2026-11-22 21:38:08.5 +0100 CET", "1795384456390000000", "", "/var/lib/\udcff", SUM)
PARSERS = {
    "container": record.parse_record,
    "process": process_record.parse_record,
    "pre": pre_record.parse_pre_record,
}
KINDS: dict[str, Any] = {
    "container": (CONTAINER, record),
    "process": (PROCESS, process_record),
    "pre": (PRE, pre_record),
}


def with_field(kind: str, field: str, value: Any) -> str:
    return json.dumps({**json.loads(render_record(KINDS[kind][0])), field: value})


@pytest.mark.parametrize("kind", list(KINDS))
def test_round_trip(kind: str) -> None:
    known = KINDS[kind][0]
    assert render_record(PARSERS[kind](render_record(known))) == render_record(known)


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_field_has_a_rule(kind: str) -> None:
    known, module = KINDS[kind]
    assert {field.name for field in fields(known)} == set(module.RULES)


WRONG = [None, 1.5, -1, 1 << 63, 10**300, {"a": {}}, [[[]]], [None], "x" * 20000, {"": 1}]


@pytest.mark.parametrize(
    "kind, field", [(kind, field.name) for kind, (one, dummy) in KINDS.items() for field in fields(one)]
)
def test_wrong_types_of_each_field(kind: str, field: str) -> None:
    for value in WRONG:
        with pytest.raises(ValueError, match=f"its field '{field}' is not what"):
            PARSERS[kind](with_field(kind, field, value))


# What a process chooses itself is only ever shown in quotes.
ONE_LINE = [
    *((kind, "criu") for kind in ("container", "process")),
    *(("container", name) for name in ("engine", "id", "name", "image", "image_id", "runtime", "process_label", "run")),
    *(("process", name) for name in ("start", "boot", "cgroup", "unit", "parent", "inventory", "selinux")),
]


@pytest.mark.parametrize("kind, field", ONE_LINE)
@pytest.mark.parametrize("control", ["\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\u2028"], ids=ascii)
def test_control_characters(kind: str, field: str, control: str) -> None:
    for value in (f"{getattr(KINDS[kind][0], field)}{control}", f"{control}{getattr(KINDS[kind][0], field)}"):
        with pytest.raises(ValueError, match="is not what"):
            PARSERS[kind](with_field(kind, field, value))


@pytest.mark.parametrize(
    "kind, field, value",
    [
        ("container", "size_bytes", True),
        ("container", "size_bytes", "1"),
        ("container", "sha256", "0" * 63),
        ("container", "sha256", SUM.upper()),
        ("container", "volumes", "web"),
        ("container", "volumes", ["../etc"]),
        ("container", "volumes", ["-f"]),
        ("container", "volumes", ["a"] * 5000),
        ("container", "image_id", "--all"),
        ("container", "name", "../x"),
        ("container", "runtime", "--help"),
        ("container", "runtime", "./crun"),
        ("container", "runtime", "bin/crun"),
        ("container", "labels", {"pid": "1"}),
        ("container", "labels", [{"pid": 1, "tid": "1", "comm": "", "label": ""}]),
        ("container", "labels", [{"pid": "1", "tid": "1", "comm": "", "label": "a\nb"}]),
        ("container", "labels", [{"pid": "1", "tid": "1", "comm": "", "label": "", "sockcreate": 1}]),
        ("container", "labels", [{"pid": "1", "tid": "1", "label": ""}]),
        ("container", "traces", {"sockets": {"1:3": ["TCP"]}}),
        ("container", "traces", {"sockets": [], "mounts": {}}),
        ("container", "traces", {"mounts": {"/": "a\nb"}}),
        ("container", "traces", {"other": {}}),
        ("container", "checkpointed_at", "yesterday"),
        ("container", "stamp", "-1"),
        ("container", "pre_dump", "false"),
        ("container", "parent", "/etc/shadow"),
        ("container", "parent", "../pre.tar"),
        ("container", "parent", "../../etc/pre.tar"),
        ("container", "parent", "../20261130T164500Z-1a2b3c4d/.."),
        ("container", "parent", "../20261130T164500Z-1a2b3c4d/"),
        ("container", "parent", ".."),
        ("container", "parent", "a/pre.tar"),
        ("container", "parent", "a\nb"),
        ("container", "parent_sha256", SUM[1:]),
        ("pre", "stamp", ""),
        ("pre", "archive_path", "pre.tar"),
        ("pre", "sha256", "0"),
        ("pre", "id", "-f"),
        ("pre", "run", "a\nb"),
        ("process", "pid", "1463"),
        ("process", "pid", True),
        ("process", "pid", 0),
        ("process", "pid", (1 << 22) + 1),
        ("process", "leave_running", 1),
        ("process", "pre_dump", "false"),
        ("process", "cgroup", "/a/../../b"),
        ("process", "cgroup", "a"),
        ("process", "unit", "web"),
        ("process", "unit", "--host=evil.service\n"),
        ("process", "unit", "../web.service"),
        ("process", "unit", "-Hevil.service"),
        ("process", "unit", "a b.service"),
        ("process", "parent", "relative"),
        ("process", "inherit", [[1, '9]"\nExecStartPre=+/bin/sh -c evil']]),
        ("process", "inherit", [["1", 9]]),
        ("process", "inherit", [[1]]),
        ("process", "inherit", [[1, 2, 3]]),
        ("process", "inherit", [[-1, 2]]),
        ("process", "inherit", [[True, 2]]),
        ("process", "inherit", {"1": 2}),
        ("process", "inherit", [[1, 2]] * 1000),
        ("process", "external", "unix[7097]"),
    ],
)
def test_values_that_no_checkpoint_has(kind: str, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"its field '{field}' is not what"):
        PARSERS[kind](with_field(kind, field, value))


@pytest.mark.parametrize("kind", list(KINDS))
def test_unknown_and_missing_fields(kind: str) -> None:
    entries = json.loads(render_record(KINDS[kind][0]))
    with pytest.raises(ValueError, match="does not know its field 'more'"):
        PARSERS[kind](json.dumps({**entries, "more": 1}))
    for name in ("name", "pid"):
        if entries.pop(name, None) is not None:
            with pytest.raises(ValueError, match=f"misses its field '{name}'"):
                PARSERS[kind](json.dumps(entries))


@pytest.mark.parametrize("text", [None, "", "{", "{}", '{"schema": 2}'])
def test_note_without_a_usable_record_has_none(text: str | None) -> None:
    assert record.find_record(text) is None
    found = record.find_record(render_record(CONTAINER))
    assert found is not None
    assert found.id == CONTAINER.id
