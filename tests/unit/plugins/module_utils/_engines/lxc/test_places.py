# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests whether a container has ended in its checkpoint, or has run on since, by the files beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.places import time_of
from ansible_collections.criu.hosts.tests.unit.lxc_host import (
    DUMPED_AT,
    LATER,
    MONITOR,
    START,
    LxcHost,
    lxc_host,
    stat_of,
)


@pytest.fixture(name="made")
def made_fixture(tmp_path: Path) -> LxcHost:
    made = lxc_host(tmp_path)
    made.images.mkdir(parents=True)
    made.dumped()
    (made.home / "criu-hosts/ends").write_text("")
    return made


def is_last(made: LxcHost) -> bool:
    return made.engine.place("web").is_last_state()


def test_ended_in_its_checkpoint(made: LxcHost) -> None:
    assert is_last(made)


def test_started_again_since(made: LxcHost) -> None:
    made.started(at=LATER)
    assert not is_last(made)


def test_restored_since(made: LxcHost) -> None:
    made.started("lxc-checkpoint", LATER)
    assert not is_last(made)


def test_a_restore_that_failed_has_let_nothing_run(made: LxcHost) -> None:
    made.started("lxc-checkpoint", LATER)
    (made.home / "criu-hosts/restore.conf").write_text("")
    assert is_last(made)
    made.started("lxc-start", LATER)
    assert not is_last(made)


@pytest.mark.parametrize("missing", ["criu-hosts/ends", "criu-hosts.run", "criu-hosts/checkpoint/inventory.img"])
def test_unknown(made: LxcHost, missing: str) -> None:
    (made.home / missing).unlink()
    assert not is_last(made)


def test_monitor_of_this_run(made: LxcHost) -> None:
    place, paths = made.engine.place("web"), made.made.paths
    made.runs()
    assert place.was_started_by(paths, MONITOR) and not place.was_started_by(paths, MONITOR + 1)
    (made.made.folder / f"proc/{MONITOR}/stat").write_text(stat_of(MONITOR, "lxc-start", 1, START + 5))
    assert not place.was_started_by(paths, MONITOR), "a process that has the number since"
    (made.home / "criu-hosts.run").write_text("lxc-start\n")
    assert not place.was_started_by(paths, MONITOR) and place.starter() == ""


def test_times_are_those_that_engines_print() -> None:
    assert time_of(str(DUMPED_AT)) == "2023-11-14T22:15:00.000000000Z"
    assert time_of("") == ""
