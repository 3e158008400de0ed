# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that a stop must not cut off, and folders that are put in place in one rename."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import Any, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_plan
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Plan, Rename


class Stopped:
    """A runner that receives a request to stop while its first command runs."""

    def __init__(self, rc: int = 0) -> None:
        self.rc = rc
        self.told = False
        self.ended: list[str] = []

    def run(self, argv: Sequence[str], **dummy_options: Any) -> Completed:
        if not self.told:
            self.told = True
            os.kill(os.getpid(), signal.SIGTERM)
        self.ended.append(argv[0])
        return Completed(tuple(argv), self.rc, "", "broken")

    def which(self, name: str) -> str:
        return name


def plan(finish: bool) -> Plan:
    return Plan(
        steps=(
            Command(("dump",), why="dump", finish=finish),
            Command(("next",), why="go on"),
            Command(("last",), why="clean up", always=True),
        )
    )


@pytest.mark.parametrize(("finish", "ended"), [(True, ["dump", "last"]), (False, ["last"])])
def test_a_stop_waits_for_a_command_that_has_to_finish(finish: bool, ended: list[str]) -> None:
    runner = Stopped()
    with pytest.raises(CheckpointError) as raised:
        apply_plan(runner, plan(finish))
    assert raised.value.reason == "interrupted"
    assert runner.ended == ended


def test_a_command_that_fails_tells_that_and_not_the_stop() -> None:
    with pytest.raises(CheckpointError) as raised:
        apply_plan(Stopped(rc=1), plan(finish=True))
    assert raised.value.reason == "tool_failed"


def test_a_folder_is_put_in_place_with_private_files(tmp_path: Path) -> None:
    source = tmp_path / "part"
    source.mkdir(mode=0o700)
    (source / "pages.img").write_bytes(b"memory")
    (source / "pages.img").chmod(0o644)
    (source / "parent").symlink_to("../elsewhere")
    apply_plan(Stopped(), Plan(steps=(Rename(str(source), str(tmp_path / "images"), mode=0o600),)))
    assert stat.S_IMODE((tmp_path / "images").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "images/pages.img").stat().st_mode) == 0o600
    assert (tmp_path / "images/parent").is_symlink() and not source.exists()
