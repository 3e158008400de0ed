# SPDX-License-Identifier: GPL-3.0-or-later
"""What CRIU's log and podman's words become."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._command import CommandError, Completed
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._failure import TAIL_LINES, explain, tail
from ansible_collections.criu.hosts.plugins.module_utils._podman import Podman, parse_inspect
from ansible_collections.criu.hosts.tests.unit.containers import recorded, world

RUNC = "Error: `/usr/bin/runc checkpoint --image-path /x f00` failed: exit status 1\n"


def explained(folder: Path, log: str) -> CheckpointError:
    made = world(folder)
    (made.userdata / "dump.log").write_text(log)
    container = parse_inspect(made.inspected("running"))
    error = CommandError(Completed(("podman",), 125, "", RUNC), "Cannot do it.")
    return explain(
        Podman(), error, what="checkpoint 'web'", container=container, action="checkpoint", outcome="It runs."
    )


def test_missing_iptables_is_told_by_the_line_that_counts(tmp_path: Path) -> None:
    error = explained(tmp_path, recorded("checkpoint-no-iptables.txt"))
    assert error.reason == "network_lock_missing"
    assert error.message.startswith("Cannot checkpoint 'web': CRIU cannot lock its network")
    assert len(error.facts["log_tail"]) == 5


def test_unknown_failure_carries_crius_first_telling_error_in_one_line(tmp_path: Path) -> None:
    log = 'Error (criu/util.c:641): execvp("x") failed: gone\n(01.2) Error (criu/tty.c:19): tty: Found dangling tty\n'
    error = explained(tmp_path, log)
    assert error.reason == "tool_failed"
    wanted = "/usr/bin/runc failed: exit status 1 (tty: Found dangling tty). It runs. Read log_tail."
    assert error.message == f"Cannot checkpoint 'web': {wanted}"


def test_failure_without_a_log(tmp_path: Path) -> None:
    error = explained(tmp_path, "")
    assert error.message == "Cannot checkpoint 'web': /usr/bin/runc failed: exit status 1. It runs. Read log_tail."
    assert (error.facts["log_path"], error.facts["log_tail"]) == ("", [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("a\n\nb\n", ["a", "b"], id="no-errors-gives-the-end"),
        pytest.param("a\nError (x): b\nc\n", ["Error (x): b"], id="errors-first"),
        pytest.param('Error: execvp("iptables-legacy-save")\nlast\n', ["last"], id="noise-goes"),
        pytest.param("x\n" * 50, ["x"] * TAIL_LINES, id="at-most-20"),
    ],
)
def test_tail(text: str, expected: list[str]) -> None:
    assert tail(text) == expected
