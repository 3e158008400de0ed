# SPDX-License-Identifier: GPL-3.0-or-later
"""Making folders while others make the same ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.files import make_dir, write_file


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


def test_a_link_put_in_place_of_a_new_folder_gives_its_mode_to_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    mkdir = os.mkdir

    def switched(path: Any, *arguments: Any) -> None:
        mkdir(path, *arguments)
        os.rmdir(path)
        os.symlink(victim, path)

    monkeypatch.setattr(os, "mkdir", switched)
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        make_dir(str(tmp_path / "made"), 0o777)
    assert victim.stat().st_mode & 0o777 == 0o700


def test_a_link_put_in_place_of_a_new_file_gives_its_mode_to_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.touch(mode=0o600)
    fdopen = os.fdopen

    def switched(descriptor: int, *arguments: Any) -> Any:
        (tmp_path / ".file.criu-hosts").unlink()
        (tmp_path / ".file.criu-hosts").symlink_to(victim)
        return fdopen(descriptor, *arguments)

    monkeypatch.setattr(os, "fdopen", switched)
    write_file(str(tmp_path / "file"), "text", 0o644)
    assert victim.stat().st_mode & 0o777 == 0o600 and victim.read_text() == ""


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make_dir(str(tmp_path / "a/b"), 0o755)
        write_file(str(tmp_path / "a/b/file"), "text", 0o644)
    finally:
        os.umask(before)
    modes = [os.stat(tmp_path / name).st_mode & 0o777 for name in ("a", "a/b", "a/b/file")]
    assert modes == [0o755, 0o755, 0o644]


@pytest.mark.parametrize("left", ["file", "link"])
def test_what_a_killed_task_left_is_replaced_and_not_followed(tmp_path: Path, left: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    partial = tmp_path / ".file.criu-hosts"
    if left == "file":
        partial.write_text("half")
    else:
        partial.symlink_to(victim)
    write_file(str(tmp_path / "file"), "text", 0o600)
    assert (tmp_path / "file").read_text() == "text" and not (tmp_path / "file").is_symlink()
    assert victim.read_text() == "theirs"
    assert sorted(os.listdir(tmp_path)) == ["file", "victim"]
