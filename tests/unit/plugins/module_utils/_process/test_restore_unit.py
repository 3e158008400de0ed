# SPDX-License-Identifier: GPL-3.0-or-later
"""No text of images or options becomes a directive of the unit that restores a process."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Step
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_unit import render_start, start_steps

INJECTED = '"{}ExecStartPre=+/bin/sh -c evil'


def steps(known: bool, argument: str, pid_file: str, terminal: str | None) -> tuple[Step, ...]:
    unit = Unit("web.service", known=known, state="inactive", pid=0, cgroup="")
    return start_steps(Paths("/nowhere"), unit, ("criu", argument), pid_file, terminal, lambda error: error)


@pytest.mark.parametrize("control", ["\n", "\r", "\0", "\x1b"], ids=ascii)
@pytest.mark.parametrize("place", ["argument", "pid file", "terminal"])
@pytest.mark.parametrize("known", [True, False], ids=["drop-in", "transient"])
def test_control_characters(known: bool, place: str, control: str) -> None:
    given = {"argument": "restore", "pid file": "/run/x.pid", "terminal": "/dev/pts/3"}
    given[place] += INJECTED.format(control)
    with pytest.raises(CheckpointError) as caught:
        steps(known, given["argument"], given["pid file"], given["terminal"] if place == "terminal" else None)
    assert caught.value.reason == "unit_text_invalid" and len(caught.value.message.splitlines()) == 1


def test_terminal_is_no_specifier() -> None:
    assert "TTYPath=/dev/%%i\n" in render_start(["criu"], "/run/x.pid", "/dev/%i")
