# SPDX-License-Identifier: GPL-3.0-or-later
"""The mode and the booleans of the running kernel."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import boolean_value, read_mode


@pytest.mark.parametrize(
    ("content", "mode"), [(None, "disabled"), ("1", "enforcing"), ("0", "permissive"), ("1\n", "enforcing")]
)
def test_mode(tmp_path: Path, content: str | None, mode: str) -> None:
    if content is not None:
        (tmp_path / "enforce").write_text(content)
    assert read_mode(str(tmp_path)) == mode


def test_a_read_only_selinuxfs_means_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libselinux, and so every tool, treats it like this in a container."""
    (tmp_path / "enforce").write_text("1")
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert read_mode(str(tmp_path)) == "disabled"


@pytest.mark.parametrize(("content", "value"), [(None, None), ("1 1", True), ("0 1", False), ("", False)])
def test_boolean(tmp_path: Path, content: str | None, value: bool | None) -> None:
    """The first number is the active value, the second the pending one."""
    (tmp_path / "booleans").mkdir()
    if content is not None:
        (tmp_path / "booleans/name").write_text(content)
    assert boolean_value(str(tmp_path), "name") is value
