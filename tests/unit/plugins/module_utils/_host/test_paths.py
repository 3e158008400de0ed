# SPDX-License-Identifier: GPL-3.0-or-later
"""The one reader of small files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host.paths import demand_text, read_bytes, read_text


def test_content_is_kept_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"na\xefve\r\n")
    assert read_bytes(str(path)) == b"na\xefve\r\n"
    text = read_text(str(path))
    assert text == "na\udcefve\r\n" and text.encode("utf-8", "surrogateescape") == path.read_bytes()


@pytest.mark.parametrize("name", ["missing", "file/below"])
def test_absent_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    assert read_text(str(tmp_path / name)) is None
    with pytest.raises(FileNotFoundError):
        demand_text(str(tmp_path / name))


def test_files_of_the_kernel_have_no_size() -> None:
    assert (read_text("/proc/self/status", limit=0) or "").startswith("Name:")


@pytest.mark.parametrize(
    ("kind", "message"), [("pipe", "not a file"), ("folder", "Is a directory"), ("large", "larger than 4 bytes")]
)
def test_what_is_no_small_file_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("five.")
    with pytest.raises(OSError, match=message):
        read_text(str(path), limit=4)
    assert read_text(str(path), limit=4, may_fail=True) is None


def test_a_masked_unit_is_empty(tmp_path: Path) -> None:
    (tmp_path / "web.service").symlink_to("/dev/null")
    assert read_text(str(tmp_path / "web.service")) == ""
