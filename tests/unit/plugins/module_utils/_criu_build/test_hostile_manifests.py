# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests and archives of builds that somebody else has written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import choice, package_archive
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import compile as build
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import manifest as manifests
from ansible_collections.criu.hosts.tests.unit.tars import COMPRESSIONS, END, entry, header, pax, zeros

ARTIFACT = {
    "id": "a" * 12,
    "version": "4.2.1",
    "features": ["selinux"],
    "libraries": ["libc.so.6"],
    "architecture": "x86_64",
    "built_on": "debian 13",
    "source_sha256": "0" * 64,
    "files": {"sbin/criu": "0" * 64},
    "plugins": ["cuda"],
    "libc": "2.34",
    "patches_sha256": "",
}
PACKAGES = {
    "id": "a" * 12,
    "kind": "deb",
    "source_version": "4.1",
    "version": "1:4.1",
    "features": ["selinux"],
    "architecture": "x86_64",
    "built_on": "debian 13",
    "files": {"criu.deb": {"package": "criu", "version": "4.1", "sha256": "0" * 64, "depends": ["libcriu2"]}},
}
WRONG: tuple[Any, ...] = (None, True, 5, 1e300, [], [5], [[]], {}, {"a": 5}, "a\nb", "../../etc/passwd", "\ud800", "\0")


@pytest.mark.parametrize(
    ("parse", "whole"),
    [(manifests.parse_manifest, ARTIFACT), (package_archive.parse, PACKAGES)],
    ids=["artifact", "packages"],
)
def test_wrong_types_anywhere(parse: Callable[[str], Any], whole: dict[str, Any]) -> None:
    assert parse(json.dumps(whole)).id == "a" * 12
    read = []
    for key in whole:
        for new in WRONG:
            try:
                read.append((key, new, parse(json.dumps({**whole, key: new}))))
            except ValueError:
                continue
    for key, new, found in read:
        kinds = {name: type(value) for name, value in vars(found).items()}
        assert kinds == {name: type(value) for name, value in vars(parse(json.dumps(whole))).items()}, (key, new)


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../../b", "", "a//b", "a\nb", "./a", "-x.deb", "a.deb\n", "a b.deb", "\udcff.deb"],
)
def test_names_of_files(name: str) -> None:
    with pytest.raises(ValueError, match="manifest"):
        package_archive.parse(json.dumps({**PACKAGES, "files": {"criu.deb": PACKAGES["files"]["criu.deb"], name: {}}}))
    if name not in ("-x.deb", "a b.deb"):
        with pytest.raises(ValueError, match="manifest"):
            manifests.parse_manifest(json.dumps({**ARTIFACT, "files": {name: "0"}}))


MANIFEST = json.dumps(ARTIFACT).encode()
BAD = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\xff" * 2000, id="noise"),
    pytest.param(entry(b"manifest.json", MANIFEST) * 2 + END, id="manifest-twice"),
    pytest.param(entry(b"a", b"1") + entry(b"a", b"2") + END, id="file-twice"),
    pytest.param(header(b"sbin/criu", 1 << 32) + END, id="claims-gigabytes"),
    pytest.param(header(b"manifest.json", b"\xff" * 12) + END, id="negative-size"),
    pytest.param(entry(b"manifest.json", b"[" * 100_000) + END, id="deep"),
    pytest.param(entry(b"manifest.json", b"\xff") + END, id="not-utf-8"),
    pytest.param(entry(b"manifest.json", b"{}" + b" " * (2 << 20)) + END, id="large-manifest"),
    pytest.param(pax(GNU__sparse__size=b"9" * 18) + entry(b"manifest.json", MANIFEST) + END, id="sparse"),
    pytest.param(entry(b"sbin/criu", b"\x7fELF" + b"\xff" * 60) + END, id="damaged-program"),
]


def version_of_source(path: str) -> str:
    content = choice.read_source(path, None).content
    assert content is not None
    return build.version_of_tarball(path, content)


READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "artifact": (manifests.read_artifact, "artifact_invalid"),
    "packages": (package_archive.read_archive, "artifact_invalid"),
    "source": (version_of_source, "source_invalid"),
    "patches": (build.read_patches, "source_invalid"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("compress", COMPRESSIONS)
@pytest.mark.parametrize("data", BAD)
def test_refused(tmp_path: Path, data: bytes, compress: str, reader: str) -> None:
    (tmp_path / "a").write_bytes(COMPRESSIONS[compress](data))
    read, reason = READERS[reader]
    with pytest.raises(CheckpointError) as caught:
        read(str(tmp_path / "a"))
    assert caught.value.reason == reason and caught.value.message.isprintable()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "bomb"])
def test_no_archive(tmp_path: Path, kind: str, reader: str) -> None:
    path = tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(zeros("gzip", 64, before=header(b"a", BINARY)))
    read, reason = READERS[reader]
    with pytest.raises(CheckpointError) as caught:
        read(str(path))
    assert caught.value.reason == reason and caught.value.message.isprintable()


BINARY = b"\x80" + (1 << 50).to_bytes(11, "big")
