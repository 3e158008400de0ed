# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and ports that make a restore certain to fail. CRIU 4.2.1 was seen to answer each of these cases like this."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_files import Listener, SavedFile
from ansible_collections.criu.hosts.plugins.module_utils._process import changed_files as tried
from ansible_collections.criu.hosts.plugins.module_utils._process.changed_files import (
    changed_files,
    difference,
    is_taken,
)

DATA = SavedFile("/srv/data", 0o100644, 11)


@pytest.fixture(name="data")
def data_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose file is as in the images."""
    monkeypatch.setenv("CRIU_CONFIG_FILE", "/user.conf")
    monkeypatch.setattr(tried, "read_saved_files", lambda dummy_folder: (DATA,))
    path = tmp_path / "srv/data"
    path.parent.mkdir()
    path.write_text("old content")
    path.chmod(0o644)
    return path


def replaced(path: Path) -> None:
    path.unlink()
    path.write_text("0ld content")
    path.chmod(0o644)


def no_folder(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("")


CHANGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("nothing", os.fspath, ""),
    ("other content of the same size", replaced, ""),
    ("size", lambda path: path.write_text("old content!"), "has 12 bytes, and had 11 at the checkpoint"),
    ("mode", lambda path: path.chmod(0o600), "has the mode 100600, and had 100644 at the checkpoint"),
    ("gone", os.unlink, "does not exist any more"),
    ("folder gone", no_folder, "does not exist any more"),
]


@pytest.mark.parametrize(("name", "change", "what"), CHANGES, ids=[change[0] for change in CHANGES])
def test_changes(data: Path, tmp_path: Path, name: str, change: Callable[[Path], object], what: str) -> None:
    change(data)
    found = changed_files(Paths(str(tmp_path)), str(tmp_path))
    assert found == ([(DATA, what)] if what else []), name


@pytest.mark.parametrize("text", ["root /x", "external file[1:2]", "inherit-fd fd[3]:x"])
def test_options_with_which_criu_opens_other_files(data: Path, tmp_path: Path, text: str) -> None:
    data.unlink()
    (tmp_path / "user.conf").write_text(f"{text}\n")
    assert changed_files(Paths(str(tmp_path)), str(tmp_path)) == []


def test_permissions_may_be_left_out(data: Path, tmp_path: Path) -> None:
    (tmp_path / "etc/criu").mkdir(parents=True)
    (tmp_path / "etc/criu/default.conf").write_text("skip-file-rwx-check\n")
    data.chmod(0o600)
    assert changed_files(Paths(str(tmp_path)), str(tmp_path)) == []
    data.chmod(0o4644)
    assert len(changed_files(Paths(str(tmp_path)), str(tmp_path))) == 1


@pytest.mark.parametrize(
    "saved",
    [
        SavedFile("/srv/log", 0o100644, None),
        SavedFile("/proc/7/status", 0o100444, 0),
        SavedFile("/dev/pts/7", 0o20620, None),
        SavedFile("/a\0b", 0o100644, 1),
        SavedFile("/run/pipe", 0o10644, None),
    ],
    ids=lambda saved: repr(saved.name),
)
def test_what_criu_may_restore_is_not_refused(saved: SavedFile, tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/log").write_text("it has grown")
    (tmp_path / "srv/log").chmod(0o644)
    assert difference(Paths(str(tmp_path)), saved, permissions=True) == ""


@pytest.mark.parametrize(
    ("bound", "options", "listens", "taken"),
    [
        (None, (), False, False),
        ("127.0.0.1", (), True, True),
        ("", (), True, True),
        ("127.0.0.1", (), False, True),
        ("127.0.0.1", (socket.SO_REUSEPORT,), True, False),
        ("127.0.0.1", (socket.SO_REUSEADDR,), False, False),
    ],
)
def test_ports(bound: str | None, options: tuple[int, ...], listens: bool, taken: bool) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    with socket.socket() as holder:
        for option in options:
            holder.setsockopt(socket.SOL_SOCKET, option, 1)
        if bound is not None:
            holder.bind((bound, port))
        if listens:
            holder.listen()
        assert is_taken(Listener(b"\x7f\0\0\1", port, False)) is taken


def test_a_port_that_this_user_may_not_have_is_left_to_criu() -> None:
    assert not is_taken(Listener(b"\xcb\0\x71\1", 1, False)), "an address that the host does not have"
