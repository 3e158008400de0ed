# SPDX-License-Identifier: GPL-3.0-or-later
"""Who can change what a path leads to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host.ancestors import find_fault

USER = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def own(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def users(path: Path) -> Path:
    own(path)
    os.chown(path, USER, USER)
    return path


def sticky(path: Path) -> Path:
    own(path).chmod(0o1777)
    return path


def test_folder_of_root(tmp_path: Path) -> None:
    (own(tmp_path / "a") / "x").write_text("")
    assert find_fault(str(tmp_path / "a/x")) == ""


@pytest.mark.parametrize("path", ["new", "new/deeper/still", "./new//deeper"])
def test_what_only_root_can_make(tmp_path: Path, path: str) -> None:
    assert find_fault(f"{tmp_path}/{path}") == ""


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o720])
def test_ancestor_that_others_write(tmp_path: Path, mode: int) -> None:
    own(own(tmp_path / "a") / "b")
    (tmp_path / "a").chmod(mode)
    assert f"users other than root may write to the folder '{tmp_path}/a'" in find_fault(str(tmp_path / "a/b/x"))


def test_file_that_others_write(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    (tmp_path / "x").chmod(0o666)
    assert "may write to" in find_fault(str(tmp_path / "x"))


@as_root
def test_ancestor_of_a_user(tmp_path: Path) -> None:
    """The user can rename the inner folder, which is root's, and put another there."""
    own(users(tmp_path / "home") / "roots")
    assert f"'{tmp_path}/home' belongs to the user with the id {USER}" in find_fault(str(tmp_path / "home/roots/x"))


@as_root
@pytest.mark.parametrize("name", ["", "a", "a/b"])
def test_what_is_not_there_yet_in_a_folder_of_a_user(tmp_path: Path, name: str) -> None:
    users(tmp_path / "home")
    assert "belongs to the user" in find_fault(str(tmp_path / "home" / name))


def test_folder_of_root_below_a_sticky_one(tmp_path: Path) -> None:
    own(sticky(tmp_path / "tmp") / "roots")
    assert find_fault(str(tmp_path / "tmp/roots")) == "" == find_fault(str(tmp_path / "tmp/roots/new"))


@pytest.mark.parametrize("name", ["new", "new/x"])
def test_what_is_not_there_yet_below_a_sticky_folder(tmp_path: Path, name: str) -> None:
    sticky(tmp_path / "tmp")
    assert "others may make it" in find_fault(str(tmp_path / "tmp" / name))


@as_root
@pytest.mark.parametrize("make", [users, lambda path: path.symlink_to("/root")], ids=["folder", "link"])
def test_what_a_user_has_made_below_a_sticky_folder(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(sticky(tmp_path / "tmp") / "it")
    os.chown(tmp_path / "tmp/it", USER, USER, follow_symlinks=False)
    assert "belongs to the user" in find_fault(str(tmp_path / "tmp/it/x"))


@as_root
def test_link_in_the_folder_of_a_user(tmp_path: Path) -> None:
    """It is root's own and leads to a safe place, but the user can switch it."""
    own(tmp_path / "safe")
    (users(tmp_path / "home") / "link").symlink_to(tmp_path / "safe")
    assert f"'{tmp_path}/home' belongs" in find_fault(str(tmp_path / "home/link/x"))


@as_root
def test_link_into_the_folder_of_a_user(tmp_path: Path) -> None:
    own(users(tmp_path / "home") / "roots")
    (tmp_path / "link").symlink_to("home/roots")
    assert f"'{tmp_path}/home' belongs" in find_fault(str(tmp_path / "link/x"))


@as_root
def test_link_by_way_of_the_folder_of_a_user(tmp_path: Path) -> None:
    """Both ends are safe; a folder of a user in the middle of the way decides."""
    own(tmp_path / "safe")
    users(tmp_path / "home").joinpath("inner").symlink_to("../safe")
    (tmp_path / "link").symlink_to("home/inner")
    assert f"'{tmp_path}/home' belongs" in find_fault(str(tmp_path / "link/x"))


@pytest.mark.parametrize("target", ["{0}/safe", "safe", "./safe/../safe", "{0}/../{1}/safe"])
def test_link_of_root_to_a_safe_folder(tmp_path: Path, target: str) -> None:
    own(tmp_path / "safe")
    (tmp_path / "link").symlink_to(target.format(tmp_path, tmp_path.name))
    assert find_fault(str(tmp_path / "link/new")) == ""


def test_link_to_what_is_not_there_yet_below_a_sticky_folder(tmp_path: Path) -> None:
    sticky(tmp_path / "tmp")
    (tmp_path / "link").symlink_to("tmp/new")
    assert "others may make it" in find_fault(str(tmp_path / "link/x"))


@pytest.mark.parametrize("target", ["link", "../{0}/link", "link/x"])
def test_links_without_an_end(tmp_path: Path, target: str) -> None:
    (tmp_path / "link").symlink_to(target.format(tmp_path.name))
    assert "too many symbolic links" in find_fault(str(tmp_path / "link/x"))


def test_way_out_of_what_is_not_there(tmp_path: Path) -> None:
    """A folder of that name would be made first, and the way would lead elsewhere then."""
    assert "leads back out" in find_fault(str(tmp_path / "new/../x"))


def test_way_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    assert "is not a folder" in find_fault(str(tmp_path / "x/y"))


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    assert find_fault(f"{tmp_path}/{name}/x") != ""


@as_root
def test_an_acl_shows_in_the_bits_of_the_group(tmp_path: Path) -> None:
    """user:65534:rwx with the mask rwx, as setfacl writes it (version 2; tag, permissions, id)."""
    import struct

    folder = own(tmp_path / "a")
    entries = ((1, 7, -1), (2, 7, USER), (4, 0, -1), (16, 7, -1), (32, 0, -1))
    value = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, mode, who & 0xFFFFFFFF) for tag, mode, who in entries
    )
    try:
        os.setxattr(folder, "system.posix_acl_access", value)
    except OSError:
        pytest.skip("this file system has no ACLs")
    assert "may write to the folder" in find_fault(str(folder / "x"))
