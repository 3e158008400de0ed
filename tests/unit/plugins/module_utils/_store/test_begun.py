# SPDX-License-Identifier: GPL-3.0-or-later
"""The notes of what has begun: what was written is read again, and nothing else is believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_plan
from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import (
    Begun,
    begin_steps,
    begun_path,
    end_step,
    read_begun,
)


def test_a_note_is_read_until_it_is_removed(tmp_path: Path) -> None:
    path = begun_path(Paths(str(tmp_path)), "container", "web")
    begun = Begun("dumping", "web", "boot-1", facts={"id": "abc", "archive_path": "/srv/a\udcff.tar"})
    assert read_begun(path) is None
    apply_plan(ProgramRunner(), Plan(steps=begin_steps(path, begun)))
    assert read_begun(path) == begun
    apply_plan(ProgramRunner(), Plan(steps=(end_step(path),)))
    assert read_begun(path) is None


TORN = [b"", b"{", b"[]", b"[" * 9000, b'{"action": "dumping"}', b"\xff\0", b"{" + b" " * (1 << 20) + b"}"]


@pytest.mark.parametrize("data", TORN)
def test_a_torn_note_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "note").write_bytes(data)
    assert read_begun(str(tmp_path / "note")) is None


def test_a_pipe_or_a_link_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    assert read_begun(str(tmp_path / "pipe")) is None
    assert read_begun(str(tmp_path / "link")) is None
