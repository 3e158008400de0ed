# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what is said of a command of LXC or CRIU that has failed."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.causes import cause_of, program_of
from ansible_collections.criu.hosts.tests.unit.lxc_host import FIXTURES, recorded

RESTORE = ("env", "CRIU_CONFIG_FILE=/f", "systemd-cat", "--identifier=lxc-checkpoint", "lxc-checkpoint", "--restore")
LOGS = [
    pytest.param("restore-running.log", "LXC says: web is running, not restoring", id="lxc"),
    pytest.param("restore-criu-failed.log", "CRIU has failed", id="criu"),
    pytest.param("none.log", "CRIU has failed", id="no-log"),
]


@pytest.mark.parametrize(("log", "why"), LOGS)
def test_a_restore_says_what_lxc_has_logged(log: str, why: str) -> None:
    cause = cause_of(Completed((*RESTORE, f"--logfile={FIXTURES}/6.0.4-{log}"), 1, "", ""))
    assert (cause.why, cause.reason) == (why, "tool_failed")


def test_other_commands_say_their_last_line() -> None:
    cause = cause_of(Completed(("lxc-cgroup", "--name=web", "a", "b"), 1, "", recorded("cgroup-failed.txt")))
    assert cause.why.startswith("lxc-cgroup has failed: lxc-cgroup: web: ")
    assert cause.why.endswith("Failed to assign '78' value to 'cgroup.max.descendants' for 'web'")
    assert cause_of(Completed(("tar", "--create"), 2, "", "tar: no\n")).why == "tar has failed: tar: no"


def test_programs() -> None:
    assert program_of(Completed(RESTORE, 0, "", "")) == "lxc-checkpoint"
    assert program_of(Completed(("criu", "dump"), 0, "", "")) == "criu"
    assert program_of(Completed(("podman", "ps"), 0, "", "")) == ""
