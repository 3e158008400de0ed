# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks of things: who waits for whom, and what a task that waits in vain reports."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import lock
from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import lock_path
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths


@pytest.fixture(name="ctx")
def ctx_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(lock, "HOLD_SECONDS", 0.1)
    return Context({}, ProgramRunner(), False, Paths(str(tmp_path)), uid=0)


def test_a_second_task_learns_who_holds_the_thing(ctx: Context) -> None:
    with ctx.hold("container", "web"), pytest.raises(CheckpointError) as raised, ctx.hold("container", "web"):
        pass
    assert raised.value.reason == "busy"
    assert f"(process {os.getpid()}) has held it for" in raised.value.message
    assert "container 'web'" in raised.value.message


def test_different_things_do_not_wait_for_each_other(ctx: Context) -> None:
    with ctx.hold("container", "web"), ctx.hold("container", "db"), ctx.hold("unit", "web"):
        assert len(os.listdir(lock.locks_dir(ctx.paths, 0))) == 3


def test_the_lock_is_free_after_a_failure(ctx: Context) -> None:
    with pytest.raises(ZeroDivisionError), ctx.hold("container", "web"):
        raise ZeroDivisionError
    with ctx.hold("container", "web"):
        pass


def test_the_lock_is_free_after_kill_9(ctx: Context) -> None:
    with ctx.hold("container", "web"):
        path = lock_path(ctx.paths, ctx.uid, "container", "web")
    code = "import fcntl, os, sys, time; fcntl.flock(os.open(sys.argv[1], 2), 2); print(1, flush=True); time.sleep(99)"
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as task:
        assert task.stdout is not None and task.stdout.readline()
        with pytest.raises(CheckpointError), ctx.hold("container", "web"):
            pass
        task.kill()
        task.wait()
        with ctx.hold("container", "web"):
            pass


def test_two_names_of_one_path_are_one_thing(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert lock_path(ctx.paths, ctx.uid, "images", f"{tmp_path}/link/web") == lock_path(
        ctx.paths, ctx.uid, "images", f"{tmp_path}/real/web"
    )


def test_check_mode_neither_waits_nor_writes(ctx: Context, tmp_path: Path) -> None:
    with replace(ctx, check_mode=True).hold("container", "web"):
        assert not list(tmp_path.iterdir())


def test_locks_are_private(ctx: Context) -> None:
    with ctx.hold("container", "web"):
        path = lock_path(ctx.paths, ctx.uid, "container", "web")
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "left", [b"", b"{", b"[" * 5000, b'{"task": 1}', b'{"task":"x","pid":1,"since":1e999}', b"\xff"]
)
def test_a_torn_description_of_the_holder_is_no_failure(ctx: Context, left: bytes) -> None:
    with ctx.hold("container", "web"):
        Path(lock_path(ctx.paths, ctx.uid, "container", "web")).write_bytes(left)
        with pytest.raises(CheckpointError) as raised, ctx.hold("container", "web"):
            pass
    assert raised.value.reason == "busy" and "a different task holds it" in raised.value.message


def test_a_user_has_locks_of_his_own(ctx: Context) -> None:
    mine: Any = lock.locks_dir(ctx.paths, 1 << 30)
    assert mine == f"{ctx.paths.root}/run/user/{1 << 30}/.cache/criu-hosts/locks"


def test_a_lock_that_cannot_be_made_is_one_line(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(CheckpointError) as raised, ctx.hold("container", "web"):
        pass
    assert raised.value.reason == "file_failed"
