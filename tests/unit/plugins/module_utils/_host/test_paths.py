# SPDX-License-Identifier: GPL-3.0-or-later
"""The readers of small files: of the host, and of what others write."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host.paths import (
    demand_text,
    read_below,
    read_bytes,
    read_text,
)


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


def test_settings_of_the_kernel_are_read_in_pieces() -> None:
    """The kernel refuses to make room for one large read of them (ENOMEM), however short they are."""
    path = "/proc/sys/kernel/random/boot_id"
    boot = read_text(path, limit=0) or ""
    assert len(boot.strip()) == 36
    assert read_below("/proc/sys", "kernel/random/boot_id", limit=64 << 20) == boot.encode()


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


def test_a_file_that_grows_is_not_read_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size that the system returns is that of the moment before."""
    path = tmp_path / "log"
    path.write_text("12345")
    real = os.fstat

    def small(descriptor: int) -> os.stat_result:
        status = list(real(descriptor))
        status[6] = 1
        return os.stat_result(status)

    monkeypatch.setattr("os.fstat", small)
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_bytes(str(path), limit=4)
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_below(str(tmp_path), "log", limit=4)
    assert read_below(str(tmp_path), "log", limit=5) == b"12345"


@pytest.fixture
def below(tmp_path: Path) -> Path:
    """A folder that a container writes, with a file in a folder, beside a file of the host."""
    (tmp_path / "host").write_text("secret")
    folder = tmp_path / "volume"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/file").write_bytes(b"na\xefve\r\n\0")
    return folder


@pytest.mark.parametrize("name", ["inner/file", "./inner//file", "inner/./file"])
def test_below_content_is_kept_to_the_byte(below: Path, name: str) -> None:
    assert read_below(str(below), name, limit=8, owners=(os.getuid(),)) == b"na\xefve\r\n\0"


@pytest.mark.parametrize("name", ["file", "inner/other", "no/such/folder"])
def test_below_absent_is_none(below: Path, name: str) -> None:
    assert read_below(str(below), name, limit=8) is None
    assert read_below(str(below / "missing"), name, limit=8) is None


def test_below_a_strange_name_is_a_name(below: Path) -> None:
    for name in ("a\nb", "\udcff", "-rf", " ", "..."):
        assert read_below(str(below), name, limit=8) is None
        (below / name).write_text("x")
        assert read_below(str(below), name, limit=8) == b"x"


@pytest.mark.parametrize("name", ["", ".", "/", "..", "../host", "inner/../../host", "inner\0", "\ud800", "/../host"])
def test_below_only_names_below_the_folder(below: Path, name: str) -> None:
    with pytest.raises(OSError, match="not the name of a file") as caught:
        read_below(str(below), name, limit=8)
    assert caught.value.errno == errno.EINVAL


def test_below_an_absolute_name_is_below_too(below: Path) -> None:
    (below / "host").write_text("own")
    assert read_below(str(below), "/host", limit=8) == b"own"


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def _sparse(path: Path) -> None:
    with path.open("wb") as handle:
        handle.truncate(1 << 40)


KINDS = [
    pytest.param(_pipe, errno.EINVAL, id="pipe"),
    pytest.param(_socket, errno.EINVAL, id="socket"),
    pytest.param(lambda path: path.mkdir(), errno.EINVAL, id="folder"),
    pytest.param(lambda path: path.symlink_to("../host"), errno.ELOOP, id="link-out"),
    pytest.param(lambda path: path.symlink_to("inner/file"), errno.ELOOP, id="link-inside"),
    pytest.param(lambda path: path.symlink_to("/dev/zero"), errno.ELOOP, id="link-to-a-device"),
    pytest.param(lambda path: path.symlink_to("thing"), errno.ELOOP, id="link-to-itself"),
    pytest.param(lambda path: path.symlink_to("nowhere"), errno.ELOOP, id="dangling-link"),
    pytest.param(_sparse, errno.EFBIG, id="sparse"),
    pytest.param(lambda path: path.write_bytes(b"123456789"), errno.EFBIG, id="large"),
]


@pytest.mark.parametrize(("make", "number"), KINDS)
def test_below_only_small_regular_files(below: Path, make: Callable[[Path], object], number: int) -> None:
    make(below / "thing")
    with pytest.raises(OSError, match="thing") as caught:
        read_below(str(below), "thing", limit=8)
    assert caught.value.errno == number and "\n" not in str(caught.value)


def test_below_a_device_is_not_opened() -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_below("/dev", "zero", limit=8)


def test_below_no_link_on_the_way(below: Path) -> None:
    (below / "way").symlink_to("inner")
    (below / "out").symlink_to("..")
    for name in ("way/file", "out/host", "inner/file/more"):
        with pytest.raises(NotADirectoryError):
            read_below(str(below), name, limit=8)


def test_below_the_folder_itself_may_be_reached_by_a_link(below: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(below)
    assert read_below(str(tmp_path / "way"), "inner/file", limit=8) is not None


def test_below_a_file_of_another_user(below: Path) -> None:
    with pytest.raises(OSError, match=f"the user with the id {os.getuid()}"):
        read_below(str(below), "inner/file", limit=8, owners=(os.getuid() + 1,))


def test_below_leaves_no_descriptor_open(below: Path) -> None:
    (below / "link").symlink_to("inner/file")
    before = len(os.listdir("/proc/self/fd"))
    for name in ("inner/file", "link", "inner", "missing", "inner/file/more"):
        with contextlib.suppress(OSError):
            read_below(str(below), name, limit=2)
    assert len(os.listdir("/proc/self/fd")) == before
