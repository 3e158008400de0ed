# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes files that a record must not be: what lies there is no record, or others can have written it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Callable

import pytest

USER = 65534


def _text(content: bytes, mode: int = 0o600) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)
        path.chmod(mode)

    return make


def _link(path: Path) -> None:
    other = path.with_name("elsewhere")
    other.write_text("{}")
    path.symlink_to(other)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _device(path: Path) -> None:
    """/dev/zero."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a device")
    os.mknod(path, 0o20600, os.makedev(1, 5))


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _sparse(path: Path) -> None:
    """A terabyte that takes no room."""
    path.touch(mode=0o600)
    os.truncate(path, 1 << 40)


def _of_a_user(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    path.write_text("{}")
    os.chown(path, USER, USER)


def _growing(path: Path) -> None:
    """One value that is larger than any record."""
    path.write_bytes(b" " * (33 << 20))


UNUSABLE: dict[str, Callable[[Path], None]] = {
    "empty": _text(b""),
    "cut-off": _text(b"{"),
    "a-list": _text(b"[]"),
    "no-schema": _text(b"{}"),
    "no-utf-8": _text(b'{"schema": 1, "name": "\xff\xfe"'),
    "nul": _text(b"\0" * 100),
    "nested-deep": _text(b"[" * 200_000),
    "nested-deep-objects": _text(b'{"a":' * 200_000),
    "not-a-number": _text(b'{"schema": NaN}'),
    "huge-number": _text(b'{"schema": ' + b"9" * 5000 + b"}"),
    "other-schema": _text(b'{"schema": 2}'),
    "schema-true": _text(b'{"schema": true}'),
    "writable-by-others": _text(b"{}", 0o666),
    "writable-by-the-group": _text(b"{}", 0o620),
    "link": _link,
    "link-loop": _loop,
    "folder": Path.mkdir,
    "fifo": lambda path: os.mkfifo(path, 0o600),
    "socket": _socket,
    "device": _device,
    "sparse": _sparse,
    "too-large": _growing,
    "of-a-user": _of_a_user,
}
