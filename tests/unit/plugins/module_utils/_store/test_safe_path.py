# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of checkpoints, judged with every folder on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, cast

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_plan
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Plan, Step
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import (
    archive_place_steps,
    check_images_path,
    check_path,
    images_place_steps,
    partial_path,
)

USER = 65534
KINDS = {
    "archive_path_unsafe": (check_path, archive_place_steps),
    "images_path_unsafe": (check_images_path, images_place_steps),
}
kinds = pytest.mark.parametrize("reason", list(KINDS))


def refused(reason: str, path: Path | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        KINDS[reason][0](str(path))
    assert caught.value.reason == reason and len(caught.value.message.splitlines()) == 1
    return caught.value.message


def apply(steps: tuple[Step, ...]) -> None:
    apply_plan(cast(Any, None), Plan(steps=steps))


def test_partial_path_is_hidden_beside_the_archive() -> None:
    assert partial_path("/a/web.tar") == "/a/.web.tar.partial"


@kinds
@pytest.mark.parametrize("path", ["web", "new/web", "new/deeper/web"])
def test_safe_paths(tmp_path: Path, reason: str, path: str) -> None:
    KINDS[reason][0](str(tmp_path / path))


@kinds
def test_folder_that_all_may_write_to(tmp_path: Path, reason: str) -> None:
    """The sticky bit keeps what is there, but not the names of what is made beside it."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    assert "may write to the folder" in refused(reason, tmp_path / "tmp/web")
    (tmp_path / "tmp/own").mkdir(mode=0o700)
    KINDS[reason][0](str(tmp_path / "tmp/own/web"))


@kinds
@pytest.mark.parametrize("below", ["web", "a/web", "a/b/web"])
def test_parents_that_others_write(tmp_path: Path, reason: str, below: str) -> None:
    (tmp_path / "open/a/b").mkdir(parents=True)
    (tmp_path / "open").chmod(0o777)
    assert f"'{tmp_path}/open'" in refused(reason, tmp_path / "open" / below)


@kinds
@pytest.mark.parametrize("path", ["{}/a\nb", "{}/a\x7fb", "{}/a\0b", "relative/web", "", "/", "{}/.."])
def test_paths_that_are_none(tmp_path: Path, reason: str, path: str) -> None:
    refused(reason, path.format(tmp_path))


@kinds
@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/root"), os.mkfifo], ids=["link", "fifo"])
def test_other_files(tmp_path: Path, reason: str, make: Callable[[Path], object]) -> None:
    make(tmp_path / "web")
    assert "it is not a" in refused(reason, tmp_path / "web")


@kinds
def test_folder_is_made_and_judged_again(tmp_path: Path, reason: str) -> None:
    path = tmp_path / "new/deeper/web"
    apply(KINDS[reason][1](str(path)))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    KINDS[reason][0](str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@kinds
def test_folder_that_a_user_makes_meanwhile(tmp_path: Path, reason: str) -> None:
    """MakeDir is content with it; the check after it is not."""
    path = tmp_path / "new/web"
    KINDS[reason][0](str(path))
    steps = KINDS[reason][1](str(path))
    assert isinstance(steps[0], MakeDir)
    (tmp_path / "new").mkdir()
    os.chown(tmp_path / "new", USER, USER)
    with pytest.raises(CheckpointError) as caught:
        apply(steps)
    assert caught.value.reason == reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@kinds
def test_link_that_a_user_switches(tmp_path: Path, reason: str) -> None:
    (tmp_path / "safe").mkdir(mode=0o700)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/link").symlink_to(tmp_path / "safe")
    os.chown(tmp_path / "home", USER, USER)
    assert f"belongs to the user with the id {USER}" in refused(reason, tmp_path / "home/link/web")
