# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals, locks, full disks, odd text and odd files: the program loses no state and starts no second copy."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import socket
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container import label_proof
from ansible_collections.criu.hosts.plugins.module_utils._core import apply
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import watched
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RESTORE_BOOLEAN
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful import main, starting
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful import unit as of_unit
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import last_path
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.run import start, stop, stopped
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import (
    Last,
    parse_last,
    parse_spec,
    read_last,
    unit_cgroup,
)
from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.harness import PLACE
from ansible_collections.criu.hosts.tests.unit.stateful_units import SPEC, Simulated

ERROR = "Error: OCI runtime error: runc: criu failed: type NOTIFY errno 0\n"


@pytest.fixture(name="made")
def made_fixture(tmp_path: Path) -> Simulated:
    """A machine on which the unit was stopped, with the state v1."""
    made = Simulated(tmp_path)
    made.live("v1")
    stop(made.unit())
    assert made.kept == {"v1"}
    made.happened.clear()
    made.said.clear()
    return made


@pytest.fixture(name="running")
def running_fixture(tmp_path: Path) -> Simulated:
    made = Simulated(tmp_path)
    made.live("v1")
    return made


@pytest.fixture(autouse=True)
def finishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """podman's dumps and restores are steps that are carried out to their end."""
    for name in ("checkpoint_steps", "restore_steps"):
        real = getattr(Podman, name)

        def steps(self: Podman, *given: Any, real: Any = real) -> Any:
            found = real(self, *given)
            return tuple(replace(one, finish=True) if isinstance(one, Command) else one for one in found)

        monkeypatch.setattr(Podman, name, steps)


def last() -> Last:
    found = read_last(PLACE.paths, "web")
    assert found is not None
    return found


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_signal_before_the_restore_leaves_the_checkpoint_for_the_next_start(made: Simulated) -> None:
    unit = made.unit()
    unit.allow = lambda *dummy: terminate()
    with watched(), pytest.raises(CheckpointError) as caught:
        start(unit)
    assert caught.value.reason == "interrupted"
    assert made.happened == [] and last().action == "dumped"
    start(made.unit())
    assert made.memory == "v1"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_note_that_cannot_be_written_never_costs_the_state(
    made: Simulated, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The description says ``fresh``, and the disk is full: nothing has been tried, so nothing is given up."""

    def fails(dummy_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(CheckpointError) as caught:
            start(made.unit())
    assert caught.value.reason == ("disk_full" if number == errno.ENOSPC else "file_failed")
    assert made.happened == [] and made.kept == {"v1"}
    start(made.unit())
    assert made.memory == "v1"


def test_stop_in_the_middle_of_a_restore_dumps_what_was_restored(made: Simulated) -> None:
    made.during["restore"] = terminate
    with watched():
        start(made.unit())
    assert made.memory == "v1" and last().action == "restored"
    made.memory = "v2"
    stopped(made.unit(), "success", "unknown")
    assert made.happened == ["restore", "checkpoint"] and last().action == "dumped"
    start(made.unit())
    assert made.memory == "v2"


def test_signal_in_the_middle_of_a_dump_waits_for_its_end(running: Simulated) -> None:
    running.during["checkpoint"] = terminate
    with watched():
        stop(running.unit())
    assert running.happened == ["checkpoint"] and last().action == "dumped"


def test_signal_before_a_dump_lets_the_container_run(running: Simulated) -> None:
    unit = running.unit()
    unit.allow = lambda *dummy: terminate()
    with watched(), pytest.raises(CheckpointError) as caught:
        stop(unit)
    assert caught.value.reason == "interrupted"
    assert running.memory == "v1" and running.happened == []
    stopped(running.unit(), "exit-code", "unknown")
    assert running.kept == {"v1"} and last().action == "dumped"


def test_stop_waits_for_a_task_and_says_for_which(running: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_unit, "TRY_SECONDS", 0.1)
    with ExitStack() as task:
        task.enter_context(running.ctx.hold("container", "web"))
        unit = running.unit()
        asked: list[str] = []

        def allow(dummy: int, doing: str) -> None:
            asked.append(doing)
            if len(asked) == 3:
                assert running.happened == []
                task.close()

        unit.allow = allow
        stop(unit)
    assert running.happened == ["checkpoint"]
    waits = [text for dummy, text in running.said if text.startswith("Waiting to stop the unit 'web.service': ")]
    assert len(waits) == 1 and "has held it for" in waits[0]


@pytest.mark.parametrize("action", [stop, lambda unit: stopped(unit, "exit-code", "unknown")], ids=["stop", "stopped"])
def test_stop_that_does_not_get_the_container_lets_it_run(
    running: Simulated, monkeypatch: pytest.MonkeyPatch, action: Callable[[Any], None]
) -> None:
    for name in ("TRY_SECONDS", "WAIT_SECONDS"):
        monkeypatch.setattr(of_unit, name, 0.1)
    monkeypatch.setattr("ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.run.BASE_SECONDS", 0)
    with running.ctx.hold("container", "web"), pytest.raises(CheckpointError) as caught:
        action(running.unit())
    assert caught.value.reason == "busy"
    assert running.memory == "v1" and running.happened == []


def test_two_starts_at_once_make_one_copy(made: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRY_SECONDS", "WAIT_SECONDS"):
        monkeypatch.setattr(of_unit, name, 0.1)
    seconds: list[CheckpointError | None] = []
    made.during["restore"] = lambda: seconds.append(attempt("start", lambda: start(made.unit()))[1])
    start(made.unit())
    assert [error.reason for error in seconds if error] == ["busy"]
    start(made.unit())
    assert made.happened == ["restore"] and made.said[-1] == ("notice", "Container 'web' is already running.")


def refuses(number: int, word: str) -> Callable[[Any], None]:
    def remove(path: str) -> None:
        if path.endswith(word):
            raise OSError(number, os.strerror(number), path)
        real(path)

    real = apply.remove_path
    return remove


@pytest.mark.parametrize("number", [5, 16, 39], ids=["EIO", "EBUSY", "ENOTEMPTY"])
def test_images_that_cannot_be_removed_after_a_restore_end_nothing(
    made: Simulated, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(apply, "remove_path", refuses(number, "/checkpoint"))
    start(made.unit())
    assert made.memory == "v1" and made.happened == ["restore"]
    assert (last().action, last().label_proof) == ("restored", "enforcing")
    assert "warning" in [priority for priority, dummy in made.said]
    made.boot()
    monkeypatch.undo()
    start(made.unit())
    assert made.memory == "fresh" and made.kept == {"v1"}, "the container ran on after that checkpoint"


def test_boolean_that_cannot_be_switched_off_ends_nothing(made: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    real = made.run

    def run(argv: Any, **options: Any) -> Any:
        found = real(argv, **options)
        return replace(found, rc=1, err="Could not change") if argv == ("setsebool", RESTORE_BOOLEAN, "off") else found

    monkeypatch.setattr(made, "run", run)
    start(made.unit())
    assert made.memory == "v1" and made.happened == ["restore"]
    assert (last().action, last().label_proof) == ("restored", "enforcing")
    assert not made.images.exists()


def test_labels_that_cannot_be_read_are_proved_by_the_next_call(
    made: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*dummy: Any) -> Any:
        raise ValueError("not foreseen")

    with monkeypatch.context() as patch:
        patch.setattr(label_proof, "read_running", read)
        start(made.unit())
    assert made.memory == "v1" and made.happened == ["restore"]
    assert last().action == "dumped" and "not proved yet" in made.said[-1][1]
    start(made.unit())
    assert made.happened == ["restore"]
    assert (last().action, last().label_proof) == ("restored", "enforcing")
    assert not made.images.exists()


def test_wrong_label_is_found_by_the_next_call(made: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    made.label = "system_u:system_r:podman_t:s0"

    def read(*dummy: Any) -> Any:
        raise ValueError("not foreseen")

    with monkeypatch.context() as patch:
        patch.setattr(label_proof, "read_running", read)
        start(made.unit())
    start(made.unit())
    assert made.happened[-1] == "start" and made.memory == "fresh"
    assert (last().action, last().reason) == ("fresh", "label_changed")
    assert made.kept == {"v1"}


def test_restore_that_podman_calls_failed_though_the_container_runs_is_kept(
    made: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = made.run

    def run(argv: Any, **options: Any) -> Any:
        found = real(argv, **options)
        return replace(found, rc=125, err="Error: timed out") if "restore" in argv else found

    monkeypatch.setattr(made, "run", run)
    start(made.unit())
    assert made.memory == "v1" and made.happened == ["restore"]
    assert last().action == "restored"


def test_lock_of_other_starts_is_waited_for(made: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "BUSY_PAUSE", 0.0)
    real, tries = starting.bring_back, []

    def bring_back(*given: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise CheckpointError("Cannot work in '/run': another task is working there. Wait.", reason="busy")
        return real(*given)

    monkeypatch.setattr(starting, "bring_back", bring_back)
    start(made.unit())
    assert made.memory == "v1" and last().action == "restored"


@pytest.mark.parametrize(
    "full", [["run/criu-hosts"], ["var/lib/criu-hosts"], ["run/criu-hosts", "var/lib/criu-hosts"]], ids="+".join
)
def test_full_disks_do_not_lose_the_state(running: Simulated, full: list[str]) -> None:
    for path in full:
        (running.folder / path).write_text("in the way")
    stop(running.unit())
    assert running.happened[-1] == "checkpoint" and not running.running and running.kept == {"v1"}
    stopped(running.unit(), "success", "137")
    for path in full:
        (running.folder / path).unlink()
    running.boot()
    start(running.unit())
    assert running.memory == "v1"


@pytest.mark.parametrize("text", [None, "", "{", '{"action": 1}', "[" * 100000, '{"action": "dumped", "began": true}'])
@pytest.mark.parametrize("mark", [True, False], ids=["after-a-boot", "without-its-mark"])
def test_lost_record_does_not_make_a_good_checkpoint_unused(made: Simulated, text: str | None, mark: bool) -> None:
    path = Path(last_path(PLACE.paths, "web"))
    path.unlink()
    if text is not None:
        path.write_text(text)
    if mark:
        made.boot()
    else:
        (made.images / "criu-hosts-stop.json").unlink()
    start(made.unit())
    assert made.memory == "v1"


def test_checkpoint_of_which_nothing_is_known_is_put_aside(made: Simulated) -> None:
    Path(last_path(PLACE.paths, "web")).unlink()
    (made.images / "criu-hosts-stop.json").unlink()
    made.boot()
    start(made.unit())
    assert made.memory == "fresh" and made.kept == {"v1"}


def test_record_that_is_a_pipe_or_a_folder_stops_nothing(made: Simulated) -> None:
    path = Path(last_path(PLACE.paths, "web"))
    path.unlink()
    os.mkfifo(path)
    start(made.unit())
    assert made.memory == "v1" and last().action == "restored"


def test_description_that_is_torn_does_not_lose_the_state(running: Simulated) -> None:
    text = running.file.read_text()
    running.file.write_text(text[:20])
    stop(running.unit())
    assert running.happened == ["checkpoint"] and running.kept == {"v1"}
    with pytest.raises(CheckpointError) as caught:
        start(running.unit())
    assert caught.value.reason == "unit_spec_invalid"
    running.file.write_text(text)
    start(running.unit())
    assert running.memory == "v1"


@pytest.mark.parametrize(
    "change",
    [
        {"create": "podman"},
        {"create": []},
        {"create": ["podman", 7]},
        {"create": ["a\0b"]},
        {"digest": ""},
        {"digest": None},
        {"conmon_pid_file": "run/x.pid"},
        {"conmon_pid_file": ["/run"]},
        {"stop_timeout": "3"},
        {"stop_timeout": True},
        {"stop_timeout": -1},
        {"stop_timeout": 10**30},
        {"file_locks": 1},
        {"tcp_established": "no"},
        {"on_restore_failure": "delete"},
        {"version": [1]},
    ],
)
def test_description_of_a_wrong_kind_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_spec(json.dumps({**SPEC, "conmon_pid_file": "/run/p", **change}), "web", "web.json")
    assert caught.value.reason == "unit_spec_invalid"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", 7),
        ("stamp", ["1"]),
        ("size_bytes", "big"),
        ("size_bytes", -1),
        ("labels", {"a": 1}),
        ("labels", [1]),
        ("statistics", []),
        ("previous", [1]),
        ("aside", 1),
        ("seconds", "1"),
    ],
)
def test_detail_of_a_wrong_kind_is_left_out(key: str, value: Any) -> None:
    found = parse_last(json.dumps({"action": "dumped", "began": 1.0, key: value}))
    assert found == Last("dumped", 1.0)


@pytest.mark.parametrize("text", ["1e999", "NaN", "9" * 400, '"1"'])
def test_time_that_is_no_number_is_no_record(text: str) -> None:
    assert parse_last(f'{{"action": "dumped", "began": {text}}}') is None


def test_clock_that_jumps_makes_no_negative_duration(running: Simulated) -> None:
    unit = running.unit()
    unit.began = 5_000_000_000.0
    stop(unit)
    assert last().began == 5_000_000_000.0 and last().seconds >= 0
    start(running.unit())
    assert running.memory == "v1"


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        ("/system.slice/web.service", True),
        ("/system.slice/_web.service", True),
        ("/system.slice/cron.service", False),
        ("/system.slice/other-web.service", False),
        ("/system.slice/web.service/payload", False),
        ("/user.slice/user-0.slice/user@0.service/app.slice/web.service", False),
        ("/user.slice/user-0.slice/session-1.scope", False),
        ("/", False),
    ],
)
def test_only_the_cgroup_of_the_unit_is_its_own(made: Simulated, cgroup: str, expected: bool) -> None:
    (made.folder / "proc/self/cgroup").write_text(f"0::{cgroup}\n")
    assert unit_cgroup(PLACE.paths, "web") == (cgroup if expected else "")
    for path, pid in ((f"{cgroup.strip('/')}/", 11), (f"machine.slice/libpod-{ID}.scope", 12)):
        (made.folder / "sys/fs/cgroup" / path).mkdir(parents=True, exist_ok=True)
        (made.folder / "sys/fs/cgroup" / path / "cgroup.procs").write_text(f"{pid}\n")
    found = starting.remains(PLACE.paths, "web", (f"machine.slice/libpod-{ID}.scope",))
    assert found == ([11, 12] if expected else [12])


def test_container_without_a_folder_is_refused(running: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Podman, "checkpoint_files", lambda dummy_self, dummy: ("checkpoint", "volumes"))
    with pytest.raises(CheckpointError) as caught:
        stop(running.unit())
    assert caught.value.reason == "answer_invalid"
    assert running.memory == "v1" and running.happened == []


ODD = "Can't dump ghost file /tmp/\udcff of 9 size"


def test_text_that_is_no_utf8_reaches_the_journal_and_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        main.say("err", ODD)
        assert listener.recv(999) == b"STATUS=Can't dump ghost file /tmp/\\udcff of 9 size"
        main.say("err", "long " * 1_000_000)
        assert len(listener.recv(9999)) == main.NOTIFY_BYTES, "systemd ignores a message that is longer than it reads"
    assert capsys.readouterr().err.startswith("<3>Can't dump ghost file /tmp/\\udcff of 9 size\n<3>long")


class Broken(io.StringIO):
    """Standard error whose reader is gone, or does not read."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def write(self, dummy: str) -> int:
        raise self.error


@pytest.mark.parametrize(
    "stream",
    [
        None,
        Broken(BlockingIOError(11, "again")),
        Broken(BrokenPipeError(32, "gone")),
        Broken(ValueError("closed")),
    ],
    ids=["none", "EAGAIN", "EPIPE", "closed"],
)
@pytest.mark.parametrize("address", ["/nowhere/notify", "a\udcff", "@" + "x" * 500, "@\udcff"])
def test_nothing_that_cannot_be_said_stops_the_program(
    stream: Any, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    main.say("warning", ODD)
    main.notify("EXTEND_TIMEOUT_USEC=1")


def test_no_socket_at_all_stops_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*dummy: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setattr(socket, "socket", refused)
    main.say("info", "x")
    assert capsys.readouterr().err == "<6>x\n<5>Cannot notify systemd: Too many open files.\n"


def test_systemd_is_asked_for_the_time_again_when_it_stops_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(main, "notify", sent.append)
    given = main.Time(main.ProgramRunner())
    with watched():
        given.renew_at_stop()
        given.allow(1000, "restoring 5000 MiB")
        terminate()
    assert [text.partition("=")[0] for text in sent] == ["EXTEND_TIMEOUT_USEC"] * 2
    assert 900 * 1000000 < int(sent[1].partition("=")[2]) <= 1000 * 1000000


def test_start_is_not_undone_by_podman_that_does_not_answer(made: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    made.fails["restore"] = ERROR
    unit = made.unit()
    real, calls = unit.engine.inspect, []

    class Silent(Podman):
        def inspect(self, *given: Any) -> Any:
            calls.append(1)
            if len(calls) > 1:
                raise CheckpointError("Cannot read container 'web': no answer.", reason="tool_failed")
            return real(*given)

    unit.engine = Silent(made.ctx.paths, 0)
    with pytest.raises(CheckpointError):
        start(unit)
    assert made.happened == ["restore"] and made.kept == {"v1"} and last().action == "dumped"
