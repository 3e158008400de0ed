# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import read_config_dump
from ansible_collections.criu.hosts.plugins.module_utils._formats import zstd
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import ZstdError, ZstdReader
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_archive, read_record
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.tests.unit.containers import tar_archive
from ansible_collections.criu.hosts.tests.unit.unusable_files import UNUSABLE

# printf 'hello hello hello hello\n' | zstd
HELLO = base64.b64decode("KLUv/QRYbQAAOGhlbGxvIAoBAJlLEah8Lqg=")
RECORD = Record(
    "podman", "f00", "web", "img", "1d", "runc", "label", volumes=("a", "b"), options={"x": True}, labels=[]
)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_config_dump_is_read_out_of_the_archive(tmp_path: Path, mode: str) -> None:
    tar_archive(tmp_path / "x.tar", mode=mode)
    found = read_config_dump(str(tmp_path / "x.tar"))
    assert (found.name, found.runtime, found.image, found.volumes) == ("web", "runc", "localhost/w:latest", ("vv",))
    assert found.image_id == "8177af7fce5c44dc2c28897f0dc59bfd96320387eaeb1bbb5e11cdbf0bf1f20c"
    assert found.process_label == "system_u:system_r:container_t:s0:c66,c495"


def test_archive_of_another_size_than_its_record(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"12345")
    (tmp_path / "x.tar.json").write_text(render_record(RECORD))
    with pytest.raises(CheckpointError) as caught:
        read_archive(str(tmp_path / "x.tar"), read_config_dump)
    assert caught.value.reason == "archive_invalid"
    assert "5 bytes" in caught.value.message


@pytest.mark.parametrize("damage", list(UNUSABLE), ids=list(UNUSABLE))
def test_record_that_cannot_be_used_is_not_ignored(tmp_path: Path, damage: str) -> None:
    """Without it neither the checksum nor the labels would be proved."""
    archive = tmp_path / "x.tar"
    tar_archive(archive)
    UNUSABLE[damage](tmp_path / "x.tar.json")
    with pytest.raises(CheckpointError) as caught:
        read_archive(str(archive), read_config_dump)
    assert (caught.value.reason, len(caught.value.message.splitlines())) == ("archive_invalid", 1)
    assert read_record(str(archive)) is None


def test_record_of_an_archive_has_its_checksum(tmp_path: Path) -> None:
    """Otherwise nothing would be verified."""
    (tmp_path / "x.tar").write_bytes(b"12345")
    (tmp_path / "x.tar.json").write_text(render_record(replace(RECORD, size_bytes=5)))
    with pytest.raises(CheckpointError) as caught:
        read_archive(str(tmp_path / "x.tar"), read_config_dump)
    assert caught.value.reason == "archive_invalid" and "no SHA-256" in caught.value.message


def test_archive_without_a_record(tmp_path: Path) -> None:
    """As podman makes it by itself."""
    tar_archive(tmp_path / "x.tar")
    assert read_archive(str(tmp_path / "x.tar"), read_config_dump).name == "web"


@pytest.mark.parametrize(
    "field, value",
    [
        ("id", "../x"),
        ("name", "a\nb"),
        ("image_id", "--help"),
        ("runtime", "-x"),
        ("runtime", "/bin/x\n"),
        ("process_label", "a\0"),
        ("volumes", ("../../etc",)),
        ("volumes", ("",)),
    ],
)
def test_what_an_archive_says_about_itself_is_checked(tmp_path: Path, field: str, value: Any) -> None:
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        read_archive(str(tmp_path / "x.tar"), lambda dummy: replace(RECORD, **{field: value}))
    assert caught.value.reason == "archive_invalid" and repr(field) in caught.value.message


def test_zstd_stream() -> None:
    reader = ZstdReader(io.BytesIO(HELLO))
    assert reader.read(5) == b"hello"
    assert reader.read(100) == b" hello hello hello\n"
    assert reader.read(100) == b""
    reader.close()


@pytest.mark.parametrize(
    "data",
    [pytest.param(HELLO[:-6], id="cut-off"), pytest.param(HELLO[:8] + b"\xff" + HELLO[9:], id="damaged")],
)
def test_zstd_stream_that_is_broken(data: bytes) -> None:
    with pytest.raises(ZstdError):
        ZstdReader(io.BytesIO(data)).read(100)


def test_zstd_archive_that_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "x.tar.zst").write_bytes(HELLO)
    with pytest.raises(CheckpointError) as caught:
        read_config_dump(str(tmp_path / "x.tar.zst"))
    assert caught.value.reason == "archive_invalid"


def test_without_libzstd_it_is_not_known_what_the_archive_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zstd, "LIBRARY", "libzstd-that-is-not-there.so")
    (tmp_path / "x.tar.zst").write_bytes(HELLO)
    with pytest.raises(CheckpointError, match="Install that library") as caught:
        read_config_dump(str(tmp_path / "x.tar.zst"))
    assert caught.value.reason == "archive_unreadable"
