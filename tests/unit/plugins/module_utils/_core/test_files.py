# SPDX-License-Identifier: GPL-3.0-or-later
"""Making folders while others make the same ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.files import make_dir


def test_folder_that_another_task_makes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = os.mkdir

    def late(path: Any, *arguments: Any) -> None:
        mkdir(path, *arguments)  # the other task
        mkdir(path, *arguments)

    monkeypatch.setattr(os, "mkdir", late)
    make_dir(str(tmp_path / "run/criu-hosts/borrowed"), 0o700)
    assert (tmp_path / "run/criu-hosts/borrowed").is_dir()


def test_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises((NotADirectoryError, FileExistsError)):
        make_dir(str(tmp_path / "run/criu-hosts/borrowed"), 0o700)
    with pytest.raises(FileExistsError):
        make_dir(str(tmp_path / "run"), 0o700)
