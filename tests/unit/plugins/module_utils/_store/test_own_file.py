# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files that only root or the caller can have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.tests.unit.unusable_files import UNUSABLE

NOT_A_FILE = ("link", "link-loop", "folder", "fifo", "socket", "device")
NOT_OURS = ("writable-by-others", "writable-by-the-group", "of-a-user")


def test_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff")
    assert read_own(str(tmp_path / "x")) == b"\xff"


@pytest.mark.parametrize("path", ["x", "no/x"])
def test_no_file(tmp_path: Path, path: str) -> None:
    assert read_own(str(tmp_path / path)) is None


@pytest.mark.parametrize("name", [*NOT_A_FILE, *NOT_OURS, "sparse", "too-large"])
def test_files_that_are_not_read(tmp_path: Path, name: str) -> None:
    UNUSABLE[name](tmp_path / "x")
    with pytest.raises(ValueError, match=r"\w"):
        read_own(str(tmp_path / "x"))
