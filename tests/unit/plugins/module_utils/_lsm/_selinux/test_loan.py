# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the boolean that is on for a restore, with real processes that take turns."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_plan
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import locked
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Plan
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RESTORE_BOOLEAN
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loan import borrow, marker_path, read_loan
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, put_host

LABEL = "system_u:system_r:container_t:s0:c441,c720"
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def places(tmp_path: Path) -> None:
    """SELinux in a folder, and the real /proc: the tasks are real processes."""
    put_host(tmp_path)
    (tmp_path / "proc").symlink_to("/proc")
    (tmp_path / "sys/fs/selinux/booleans").mkdir(parents=True)
    set_value("off")


def value() -> str:
    return Path(PLACE.paths.selinuxfs, "booleans", RESTORE_BOOLEAN).read_text()


def set_value(word: str) -> None:
    """One write, as in selinuxfs: a reader sees the old value or the new one."""
    path = Path(PLACE.paths.selinuxfs, "booleans", RESTORE_BOOLEAN)
    path.with_name(f".{os.getpid()}").write_text("1 1" if word == "on" else "0 0")
    path.with_name(f".{os.getpid()}").replace(path)


def markers() -> list[str]:
    return sorted(os.listdir(f"{PLACE.paths.run}/borrowed"))


class Tools:
    """setsebool, and a restore that calls ``restore``."""

    def __init__(self, restore: Any) -> None:
        self.restore = restore

    def run(
        self, argv: Sequence[str], *, cwd: str | None = None, stdin: str | None = None, finish: bool = False
    ) -> Completed:
        if argv[0] == "setsebool":
            set_value(argv[2])
        else:
            self.restore()
        return Completed(tuple(argv), 0, "", "")

    def which(self, name: str) -> str | None:
        return name


def until_killed() -> None:
    """Short sleeps: a signal that comes just before a long one would not end it."""
    while True:
        time.sleep(0.02)


def restore_with(restore: Any) -> None:
    """What container_restore does around its restore."""
    steps = (Command(("restore",), why="restore"),)
    selinux = Selinux("enforcing", restore=False)
    apply_plan(Tools(restore), Plan(steps=borrow(steps, selinux, read_loan(PLACE.paths), LABEL)))


def child(restore: Any) -> Any:
    """A real process that restores; it ends with 0 if that raised nothing."""
    started = FORK.Process(target=restore_with, args=(restore,))
    started.start()
    return started


def test_the_last_of_two_processes_returns_it() -> None:
    inside, leave = FORK.Event(), FORK.Event()
    other = child(lambda: (inside.set(), leave.wait()))
    inside.wait()
    seen: list[Any] = []

    def ours() -> None:
        leave.set()
        other.join()
        seen.extend([other.exitcode, value(), len(markers())])

    restore_with(ours)
    assert seen == [0, "1 1", 1], "the first one ended within our restore and switched the boolean off"
    assert value() == "0 0" and markers() == []


def test_many_at_once_never_see_it_off() -> None:
    def several() -> None:
        for dummy in range(25):
            restore_with(seen_on)

    def seen_on() -> None:
        assert value() == "1 1"

    started = [FORK.Process(target=several) for dummy in range(4)]
    for one in started:
        one.start()
    for one in started:
        one.join()
    assert [one.exitcode for one in started] == [0, 0, 0, 0]
    assert value() == "0 0" and markers() == []


def test_what_a_killed_process_left_on_the_next_one_returns() -> None:
    inside = FORK.Event()
    other = child(lambda: (inside.set(), until_killed()))
    inside.wait()
    other.kill()
    other.join()
    assert value() == "1 1" and len(markers()) == 1
    assert read_loan(PLACE.paths).left_on
    apply_plan(Tools(None), Plan(steps=borrow((), Selinux("enforcing", restore=True), read_loan(PLACE.paths), LABEL)))
    assert value() == "0 0" and markers() == []


def test_a_stopped_task_returns_it() -> None:
    inside = FORK.Event()
    other = child(lambda: (inside.set(), until_killed()))
    inside.wait()
    other.terminate()
    other.join()
    assert other.exitcode == 1, "the task failed, as it was stopped"
    assert value() == "0 0" and markers() == []


def test_a_boolean_that_is_on_without_a_marker_is_not_ours() -> None:
    set_value("on")
    steps = (Command(("restore",), why="restore"),)
    assert borrow(steps, Selinux("enforcing", restore=True), read_loan(PLACE.paths), LABEL) == steps


def test_a_lock_that_nobody_lets_go_of_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.criu.hosts.plugins.module_utils._core.apply.LOCK_SECONDS", 0.0)
    loan = read_loan(PLACE.paths)
    os.makedirs(f"{PLACE.paths.run}/borrowed")
    with locked(f"{PLACE.paths.run}/borrowed"), pytest.raises(CheckpointError) as caught:
        apply_plan(Tools(None), Plan(steps=borrow((Command(("x",), why="x"),), Selinux("enforcing"), loan, LABEL)))
    assert caught.value.reason == "busy"
    assert value() == "0 0" and markers() == []


def test_markers_of_other_booleans_and_stray_files_do_not_count() -> None:
    os.makedirs(f"{PLACE.paths.run}/borrowed")
    own = os.path.basename(marker_path(PLACE.paths))
    for name in (own, f"unconfined_dyntrans_all.1.{own.rpartition('.')[2]}", RESTORE_BOOLEAN, f".{own}.tmp", "x.y.z"):
        Path(PLACE.paths.run, "borrowed", name).write_text("")
    loan = read_loan(PLACE.paths)
    assert (loan.live, loan.stale) == (0, ())
