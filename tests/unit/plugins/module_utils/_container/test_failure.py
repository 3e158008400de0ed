# SPDX-License-Identifier: GPL-3.0-or-later
"""What CRIU's log and podman's words become."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container.failure import read_failure
from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import TAIL_LINES, tail
from ansible_collections.criu.hosts.plugins.module_utils._denials.remedies import ARCHIVE_PLACE
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman, parse_inspect
from ansible_collections.criu.hosts.tests.unit.apparmor_denials import apparmor_host, record_of
from ansible_collections.criu.hosts.tests.unit.containers import recorded, world
from ansible_collections.criu.hosts.tests.unit.denials import enforcing_host, lines, soon
from ansible_collections.criu.hosts.tests.unit.harness import PLACE

FIXTURES = Path(__file__).parents[3] / "fixtures/criu"
RUNC = "Error: `/usr/bin/runc checkpoint --image-path /x f00` failed: exit status 1\n"


def explained(folder: Path, log: str) -> CheckpointError:
    made = world(folder)
    (made.userdata / "dump.log").write_text(log)
    container = parse_inspect(made.inspected("running"))
    error = CommandError(Completed(("podman",), 125, "", RUNC), "Cannot do it.")
    return read_failure(PLACE.paths, Podman(), error, container, "checkpoint").told("checkpoint 'web'", "It runs.")


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
    assert error.message == "Cannot checkpoint 'web': /usr/bin/runc failed: exit status 1. It runs."
    assert (error.facts["log_path"], error.facts["log_tail"]) == ("", [])


LOCKS = "(00.1) Error (criu/file-lock.c:110): Some file locks are hold by dumping tasks! You can try --file-locks.\n"


@pytest.mark.parametrize(
    ("age", "began", "reason"),
    [
        pytest.param(3600.0, 0.0, "tool_failed", id="before-the-task"),
        pytest.param(5.0, 1.0, "tool_failed", id="of-a-task-that-this-one-has-waited-for"),
        pytest.param(0.0, 1.0, "file_locks_needed", id="of-this-command"),
    ],
)
def test_the_log_of_an_earlier_failure_is_none(tmp_path: Path, age: float, began: float, reason: str) -> None:
    made = world(tmp_path)
    log = made.userdata / "dump.log"
    log.write_text(LOCKS)
    now = time.time()
    os.utime(log, (now - age, now - age))
    done = Completed(("podman",), 125, "", RUNC, began=now - began if began else 0.0)
    container = parse_inspect(made.inspected("running"))
    error = CommandError(done, "Cannot do it.")
    told = read_failure(PLACE.paths, Podman(), error, container, "checkpoint").told("checkpoint 'web'", "It runs.")
    assert told.reason == reason
    assert bool(told.facts["log_tail"]) is bool(told.facts["log_path"]) is (reason != "tool_failed")


@pytest.mark.parametrize(
    ("err", "end"), [("Error: new\n", "new. It runs."), ("one\nError: new\n", "new. It runs. Read stderr and stdout.")]
)
def test_nobody_is_sent_to_an_empty_log(tmp_path: Path, err: str, end: str) -> None:
    made = world(tmp_path)
    container = parse_inspect(made.inspected("running"))
    error = CommandError(Completed(("podman",), 125, "", err), "Cannot do it.")
    told = read_failure(PLACE.paths, Podman(), error, container, "checkpoint").told("checkpoint 'web'", "It runs.")
    assert told.message == f"Cannot checkpoint 'web': {end}"


def test_a_dump_that_took_too_long_says_so(tmp_path: Path) -> None:
    """What CRIU had logged by then is no cause."""
    made = world(tmp_path)
    (made.userdata / "dump.log").write_text(LOCKS)
    done = Completed(("podman",), 124, "", "it did not end in 300 seconds")
    error = CommandError(done, "Cannot do it.", reason="timed_out")
    container = parse_inspect(made.inspected("running"))
    told = read_failure(PLACE.paths, Podman(), error, container, "checkpoint").told("checkpoint 'web'", "It runs.")
    assert told.reason == "timed_out"
    assert told.message.startswith("Cannot checkpoint 'web': it did not end in 300 seconds. It runs. Look at")


@pytest.mark.parametrize(("frozen", "count"), [("1", 1), ("0", 0), ("", 0)])
def test_a_container_that_a_killed_criu_has_left_frozen_is_thawed(tmp_path: Path, frozen: str, count: int) -> None:
    made = world(tmp_path)
    container = parse_inspect(made.inspected("running"))
    scope = tmp_path / "sys/fs/cgroup/machine.slice/libpod-a.scope"
    scope.mkdir(parents=True)
    if frozen:
        (scope / "cgroup.events").write_text(f"populated 1\nfrozen {frozen}\n")
    (tmp_path / f"proc/{container.pid}").mkdir(parents=True, exist_ok=True)
    (tmp_path / f"proc/{container.pid}/cgroup").write_text("0::/machine.slice/libpod-a.scope\n")
    steps = Podman(PLACE.paths).thaw_steps(container)
    argv = ("runc", "--root=/run/runc", "resume", container.id)
    assert [one.argv for one in steps if isinstance(one, Command)] == [argv] * count


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


def denied(folder: Path, log: str, audit: bytes) -> CheckpointError:
    """A failure on a host with SELinux enforcing whose log got this record while the task ran."""
    made = world(folder)
    (made.userdata / "restore.log").write_text(log)
    enforcing_host(folder, audit)
    container = parse_inspect(made.inspected("running"))
    error = CommandError(Completed(("podman",), 125, "", RUNC), "Cannot do it.")
    return read_failure(PLACE.paths, Podman(), error, container, "restore").told("restore 'web'", "Kept.")


RECORD = soon(lines("debian13-archive-in-home.txt")[0])


def test_what_selinux_refused_is_in_the_failure(tmp_path: Path) -> None:
    error = denied(tmp_path, "", RECORD + b"\n")
    assert error.reason == "policy_missing"
    assert "SELinux refused it: The archive is in a folder that Podman in a unit may not read or write" in error.message
    assert error.message.endswith("Kept. " + ARCHIVE_PLACE.advice)
    assert [one["id"] for one in error.facts["denials"]] == ["archive_in_home"]


@pytest.mark.parametrize(
    "audit",
    [
        pytest.param(lines("debian13-archive-in-home.txt")[0], id="before-the-task"),
        pytest.param(RECORD.replace(b"permissive=0", b"permissive=1"), id="only-logged"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_denials_that_are_not_the_cause_leave_the_message_alone(tmp_path: Path, audit: bytes) -> None:
    error = denied(tmp_path, "", audit)
    assert error.reason == "tool_failed"
    assert "SELinux" not in error.message


def test_silent_refusal_is_beside_the_known_cause(tmp_path: Path) -> None:
    error = denied(tmp_path, "pie: 1: Error (x.c:1): seccomp: SECCOMP_SET_MODE_FILTER returned -13 on tid 1\n", b"")
    assert error.reason == "policy_missing"
    assert [one["id"] for one in error.facts["silent_denials"]] == ["seccomp"]
    assert error.facts["denials"] == []


def refused_by_profile(folder: Path, log: str, *records: bytes, action: str = "checkpoint") -> CheckpointError:
    """A failed ``action`` on a host with AppArmor whose log got these records while the task ran."""
    made = world(folder)
    (made.userdata / {"checkpoint": "dump.log", "restore": "restore.log"}[action]).write_text(log)
    apparmor_host(folder, b"".join(soon(record) + b"\n" for record in records))
    container = parse_inspect(made.inspected("running"))
    error = CommandError(Completed(("podman",), 125, "", RUNC), "Cannot do it.")
    return read_failure(PLACE.paths, Podman(), error, container, action).told(f"{action} 'web'", "It runs.")


PROC = record_of("parasite_proc").encode()
PROC_ERROR = "pie: Error (criu/pie/parasite.c:828): can't get /proc fd\n"


def test_what_apparmor_refused_is_in_the_failure_with_the_line_of_the_profile(tmp_path: Path) -> None:
    error = refused_by_profile(tmp_path, PROC_ERROR, PROC)
    assert error.reason == "apparmor_denied"
    assert error.message.startswith("Cannot checkpoint 'web': CRIU's parasite, the code that runs inside a process")
    assert "Add to the profile 'lab-noproc', which is below /etc/apparmor.d: @{PROC}/ r," in error.message
    assert [(one["id"], one["matters"]) for one in error.facts["denials"]] == [("parasite_proc", "yes")]
    assert [(one["id"], one["logged"]) for one in error.facts["silent_denials"]] == [("parasite_proc", True)]


def test_denial_of_apparmor_explains_an_error_that_criu_does_not(tmp_path: Path) -> None:
    log = "Error (compel/src/lib/ptrace.c:73): POKEDATA failed: No such process\n"
    error = refused_by_profile(tmp_path, log, record_of("criu_signal").replace("ALLOWED", "DENIED").encode())
    assert error.reason == "apparmor_denied"
    assert (
        "AppArmor refused it: A process under the profile 'lab-complain' does not receive the signal 'kill'"
        in error.message
    )
    assert "signal (receive) peer=unconfined," in error.message


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(PROC, id="ps-may-have-done-it"),
        pytest.param(record_of("criu_signal").encode(), id="complain-mode"),
        pytest.param(record_of("engine_signal").encode(), id="not-about-checkpoints"),
        pytest.param(record_of("engine_socket").encode(), id="what-a-container-asks-for"),
    ],
)
def test_denials_of_apparmor_that_are_not_the_cause_are_listed_only(tmp_path: Path, record: bytes) -> None:
    error = refused_by_profile(tmp_path, "", record)
    assert error.reason == "tool_failed"
    assert "AppArmor" not in error.message
    assert len(error.facts["denials"]) == 1


def test_errors_of_the_label_are_apparmors_on_its_hosts(tmp_path: Path) -> None:
    error = refused_by_profile(tmp_path, "pie: 1: Error (criu/pie/restorer.c:196): can't write lsm profile -13\n")
    assert error.reason == "apparmor_denied"
    assert "SELinux" not in error.message


def test_profile_that_is_missing_was_not_denied(tmp_path: Path) -> None:
    """The restore would be refused for it, so the next task loads the profile or names the way."""
    log = (FIXTURES / "public-podman-12437.txt").read_text()
    error = refused_by_profile(tmp_path, log, record_of("criu_signal").encode(), action="restore")
    assert error.reason == "apparmor_profile_missing"
    assert "its AppArmor profile is not loaded" in error.message
    assert [(one["lsm"], one["id"]) for one in error.facts["silent_denials"]] == [("apparmor", "profile_missing")]


def test_host_with_neither_lists_nothing(tmp_path: Path) -> None:
    made = world(tmp_path)
    (made.userdata / "dump.log").write_text(PROC_ERROR)
    apparmor_host(tmp_path, soon(PROC) + b"\n")
    (tmp_path / "sys/module/apparmor/parameters/enabled").write_text("N\n")
    container = parse_inspect(made.inspected("running"))
    failed = CommandError(Completed(("podman",), 125, "", RUNC), "Cannot do it.")
    error = read_failure(PLACE.paths, Podman(), failed, container, "checkpoint").told("checkpoint 'web'", "It runs.")
    assert error.reason == "tool_failed"
    assert (error.facts["denials"], error.facts["silent_denials"]) == ([], [])
