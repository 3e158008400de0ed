# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest is read as it was written, and each of its fields is of its type and in its range."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import (
    _HOST_RULES,
    _PART_RULES,
    RULES,
    Host,
    Manifest,
    Part,
    parse_manifest,
    render_manifest,
)
from ansible_collections.criu.hosts.tests.unit.stored import manifest_of, process_manifest

MANIFEST = manifest_of(why="before the upgrade", who="root", options={"compression_level": 3, "leave_running": True})


def with_fields(where: str, **changed: Any) -> str:
    entries = json.loads(render_manifest(MANIFEST))
    {"": entries, "host": entries["host"], "part": entries["parts"][0], "record": entries["record"]}[where].update(
        changed
    )
    return json.dumps(entries)


@pytest.mark.parametrize("manifest", [MANIFEST, process_manifest()], ids=["container", "process"])
def test_round_trip(manifest: Manifest) -> None:
    text = render_manifest(manifest)
    assert render_manifest(parse_manifest(text)) == text
    assert parse_manifest(text.encode()).parts == manifest.parts
    assert parse_manifest(text).host == manifest.host


def test_without_what_is_not_required() -> None:
    entries = json.loads(render_manifest(MANIFEST))
    for name in ("host", "why", "who", "parent", "options"):
        del entries[name]
    assert parse_manifest(json.dumps(entries)) == replace(
        parse_manifest(render_manifest(MANIFEST)), host=Host(), why="", who="", parent="", options={}
    )


@pytest.mark.parametrize("kind, rules", [(Manifest, RULES), (Host, _HOST_RULES), (Part, _PART_RULES)])
def test_each_field_has_a_rule(kind: type, rules: dict[str, Any]) -> None:
    assert {field.name for field in fields(kind)} == set(rules)


def test_size_is_that_of_all_parts() -> None:
    assert MANIFEST.size_bytes == sum(part.size_bytes for part in MANIFEST.parts) > 0


@pytest.mark.parametrize(
    "where, name",
    [
        *(("", field.name) for field in fields(Manifest)),
        *(("host", field.name) for field in fields(Host)),
        *(("part", field.name) for field in fields(Part)),
    ],
)
def test_wrong_types_of_each_field(where: str, name: str) -> None:
    none = () if name == "spec" else (None,)  # of a process there is none
    for value in (*none, 1.5, -1, 1 << 63, {"a": {}}, [[[]]], [None], "x" * 20000):
        with pytest.raises(ValueError, match=r"its field '\w+' is not what|does not know its field 'a'"):
            parse_manifest(with_fields(where, **{name: value}))


@pytest.mark.parametrize(
    "where, name, value",
    [
        ("", "id", "latest"),
        ("", "id", "20261130T164500Z-1a2b3c4d\n"),
        ("", "id", "../20261130T164500Z-1a2b3c4d"),
        ("", "kind", "image"),
        ("", "name", ""),
        ("", "name", ".."),
        ("", "made_at", "yesterday"),
        ("", "made_at", ""),
        ("", "parts", []),
        ("", "parent", "latest"),
        ("", "why", "a\nb"),
        ("", "options", {"a": ["b"]}),
        ("host", "cgroup_version", True),
        ("host", "cgroup_version", 3),
        ("part", "name", "../archive.tar"),
        ("part", "name", "/etc/shadow"),
        ("part", "name", "images/../archive.tar"),
        ("part", "name", "images/.hidden"),
        ("part", "name", "other/core-1.img"),
        ("part", "name", "manifest.json\n"),
        ("part", "sha256", ""),
        ("part", "size_bytes", True),
        ("record", "image_id", "--all"),
        ("record", "runtime", "./crun"),
    ],
)
def test_values_that_no_checkpoint_has(where: str, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"its field '{name}' is not what it should be"):
        parse_manifest(with_fields(where, **{name: value}))


@pytest.mark.parametrize(
    "text, why",
    [
        (None, "Expecting value"),
        ("[]", "a list instead of an object"),
        ("{}", "not a manifest that this release understands"),
        ('{"schema": true}', "not a manifest that this release understands"),
        ('{"schema": 2}', "not a manifest that this release understands"),
        ('{"schema": 1}', "misses its field 'id'"),
        (with_fields("", other=1), "does not know its field 'other'"),
        (with_fields("host", other=1), "does not know its field 'other'"),
        (with_fields("part", other=1), "does not know its field 'other'"),
        (with_fields("record", other=1), "does not know its field 'other'"),
        (with_fields("", kind="process"), "does not know its field"),
        (with_fields("", parts=[{"name": "a", "size_bytes": 1, "sha256": "0" * 64}] * 2), "names a part twice"),
        (with_fields("", parts=["archive.tar"]), "its field 'parts'"),
    ],
)
def test_refused(text: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_manifest(text)
