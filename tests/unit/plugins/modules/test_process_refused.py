# SPDX-License-Identifier: GPL-3.0-or-later
"""process_checkpoint refuses what a restore could not bring back, in check mode too, and keeps only copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._process import unix_peers
from ansible_collections.criu.hosts.plugins.module_utils._process.only_copy import program_of
from ansible_collections.criu.hosts.plugins.module_utils._process.unix_peers import UnixSocket
from ansible_collections.criu.hosts.tests.unit.harness import Reply, Write
from ansible_collections.criu.hosts.tests.unit.processes import PID, TRIGGERS, ProcessWorld, process_world

OTHER = 77


def running(folder: Path) -> ProcessWorld:
    made = process_world(folder)
    made.process()
    made.process(pid=OTHER, comm="tee")
    return made


def refused(made: ProcessWorld, module: Any, **changes: Any) -> dict[str, Any]:
    """Returns the failure, which check mode returns as well; nothing has changed."""
    params = {"images_path": str(made.images), **({} if "unit" in changes else {"pid": PID}), **changes}
    before = made.content()
    results = [module("process_checkpoint", params, host=made.base.host, check=check) for check in (True, False)]
    assert [ran.failed for ran in results] == [True, True], results[1].result
    assert results[0].result["msg"] == results[1].result["msg"]
    assert made.base.host.wrote == []
    assert made.content() == before
    return dict(results[1].result)


def accepted(made: ProcessWorld, module: Any, *flags: str, **changes: Any) -> None:
    made.base.script(made.dump(*flags))
    ran = module("process_checkpoint", {"images_path": str(made.images), "pid": PID, **changes}, host=made.base.host)
    assert not ran.failed, ran.result


def in_session(made: ProcessWorld, leader: int) -> None:
    stat = made.folder / f"proc/{PID}/stat"
    stat.write_text(stat.read_text().replace(f" {PID} {PID} 0 -1", f" {PID} {leader} 0 -1"))


def test_a_job_of_a_shell_needs_shell_job(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    in_session(made, OTHER)
    result = refused(made, module)
    assert result["reason"] == "shell_job_needed"
    assert f"its session belongs to process {OTHER} ('tee')" in result["msg"]


def test_so_does_a_daemon_whose_session_leader_has_ended(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    in_session(made, 1462)
    assert "process 1462, which has ended" in refused(made, module)["msg"]


def test_shell_job_is_accepted(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    in_session(made, OTHER)
    accepted(made, module, "--shell-job", shell_job=True)
    assert json.loads((made.images / "criu-hosts.json").read_text())["shell_job"] is True


def test_shell_job_in_the_configuration_of_criu_is_accepted(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    in_session(made, OTHER)
    (tmp_path / "etc/criu").mkdir(parents=True)
    (tmp_path / "etc/criu/default.conf").write_text("# ours\nshell-job\n")
    accepted(made, module)


def test_so_is_shell_job_in_a_file_that_a_link_or_the_environment_names(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CRIU follows links, and reads CRIU_CONFIG_FILE in place of the user's own file (criu/config.c)."""
    (tmp_path / "ours.conf").write_text("shell-job\n")
    for place in ("linked", "named"):
        made = running(tmp_path / place)
        in_session(made, OTHER)
        if place == "linked":
            (made.folder / "etc/criu").mkdir(parents=True)
            (made.folder / "etc/criu/default.conf").symlink_to(tmp_path / "ours.conf")
        else:
            (made.folder / "own.conf").write_text("shell-job\n")
            monkeypatch.setenv("CRIU_CONFIG_FILE", "/own.conf")
        accepted(made, module)


@pytest.mark.parametrize(("ours", "theirs"), [("01", "00"), ("00", "0100001")])
def test_a_pipe_to_another_process_is_named(module: Any, tmp_path: Path, ours: str, theirs: str) -> None:
    made = running(tmp_path)
    made.opened(PID, 1, "pipe:[5501]", ours)
    made.opened(OTHER, 0, "pipe:[5501]", theirs)
    result = refused(made, module)
    assert (result["reason"], result["pid"]) == ("pipe_outside", OTHER)
    assert f"its file descriptor 1 is a pipe to process {OTHER} ('tee')" in result["msg"]


def test_pipes_that_hold_both_ends_or_whose_other_end_is_closed_are_accepted(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    made.opened(PID, 3, "pipe:[1]", "00")
    made.opened(PID, 4, "pipe:[1]", "01")
    made.opened(PID, 1, "pipe:[2]", "01")
    made.opened(OTHER, 1, "pipe:[2]", "01")  # a writer, too
    accepted(made, module)


def test_a_pipe_to_a_descendant_is_accepted(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    (tmp_path / f"proc/{PID}/task/{PID}/children").write_text(f"{OTHER} ")
    made.opened(PID, 1, "pipe:[5501]", "01")
    made.opened(OTHER, 0, "pipe:[5501]", "00")
    accepted(made, module)


def in_our_network(made: ProcessWorld, monkeypatch: pytest.MonkeyPatch, sockets: dict[int, UnixSocket]) -> None:
    for who in (str(PID), "self"):
        (made.folder / f"proc/{who}/ns").mkdir()
        (made.folder / f"proc/{who}/ns/net").symlink_to("net:[4026531840]")
    monkeypatch.setattr(unix_peers, "ask_sockets", lambda: sockets)
    made.opened(PID, 4, "socket:[10]")
    made.opened(OTHER, 5, "socket:[11]")


@pytest.mark.parametrize("more", [{}, {"external": ["unix[10]"]}])
def test_a_server_with_a_client_is_refused(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    """With external, CRIU 4.2.1 would end the process and not restore it."""
    made = running(tmp_path)
    in_our_network(made, monkeypatch, {10: UnixSocket(1, 1, 11, True), 11: UnixSocket(1, 1, 10, False)})
    result = refused(made, module, **more)
    assert (result["reason"], result["pid"]) == ("socket_outside", OTHER)
    assert f"its file descriptor 4 is a Unix socket connected to process {OTHER} ('tee')" in result["msg"]


def test_a_client_of_a_named_server_is_left_to_criu(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = running(tmp_path)
    in_our_network(made, monkeypatch, {10: UnixSocket(1, 1, 11, False), 11: UnixSocket(1, 1, 10, True)})
    accepted(made, module)


def service(made: ProcessWorld, socket_state: str) -> None:
    made.base.host.replies = [one for one in made.base.host.replies if list(one.argv) != TRIGGERS]
    show = ["systemctl", "show", "--property=ActiveState", "web.socket"]
    made.base.script(
        made.unit(active=True),
        Reply(TRIGGERS, out="TriggeredBy=web.timer web.socket\n"),
        Reply(show, out=f"ActiveState={socket_state}\n"),
    )


def test_a_service_that_a_socket_activates_is_refused(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    service(made, "active")
    result = refused(made, module, unit="web")
    assert result["reason"] == "socket_activated"
    assert "'web.socket'" in result["msg"]


def test_a_socket_that_is_stopped_is_none(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    service(made, "inactive")
    made.base.script(made.dump(tail=("--leave-running",)))
    params = {"unit": "web", "images_path": str(made.images), "leave_running": True}
    assert not module("process_checkpoint", params, host=made.base.host).failed


def other_run(folder: Path, command: bytes = b"python3\0b.py\0") -> ProcessWorld:
    """A process runs that is not the recorded one, of the same interpreter."""
    made = process_world(folder)
    made.process(start=9999)
    (folder / f"proc/{PID}/cmdline").write_bytes(command)
    (folder / f"proc/{PID}/cwd").symlink_to("/srv")
    return made


def note(made: ProcessWorld, inventory: str = "") -> None:
    made.work.mkdir()
    known = {"pid": PID, "start": "9000", "boot": made.record().boot}
    text = json.dumps({**known, "inventory": inventory or made.record().inventory})
    (made.work / "restored.json").write_text(text)


def test_the_only_copy_is_not_replaced_by_the_same_interpreter(module: Any, tmp_path: Path) -> None:
    made = other_run(tmp_path)
    made.dumped()
    result = refused(made, module)
    assert result["reason"] == "images_mismatch"
    assert "may be the only copy" in result["msg"]


def test_nor_by_a_fresh_start_of_the_same_service(module: Any, tmp_path: Path) -> None:
    made = other_run(tmp_path)
    made.dumped(unit="web.service")
    made.base.script(made.unit(active=True))
    assert refused(made, module, unit="web")["reason"] == "images_mismatch"


def test_nor_because_other_images_were_restored(module: Any, tmp_path: Path) -> None:
    made = other_run(tmp_path)
    made.dumped()
    note(made, "0" * 64)
    assert refused(made, module)["reason"] == "images_mismatch"


def test_images_that_were_restored_since_are_replaced_by_a_new_run(module: Any, tmp_path: Path) -> None:
    made = other_run(tmp_path)
    made.dumped(program=program_of(made.base.paths, PID))
    note(made)
    accepted(made, module)


@pytest.mark.parametrize("kept", [{"leave_running": True}, {}])
def test_images_that_were_used_are_not_replaced_by_a_different_program(
    module: Any, tmp_path: Path, kept: dict[str, Any]
) -> None:
    made = other_run(tmp_path)
    made.dumped(program="0" * 64, **kept)
    note(made)
    assert "a different program" in refused(made, module)["msg"]


def test_images_of_a_process_that_ran_on_are_replaced_by_its_next_run(module: Any, tmp_path: Path) -> None:
    made = other_run(tmp_path)
    made.dumped(leave_running=True, program=program_of(made.base.paths, PID))
    accepted(made, module)


def test_room_for_the_record_is_kept_while_criu_dumps(module: Any, tmp_path: Path) -> None:
    """Without it, a full disk could keep a process in images that have no record, after CRIU has ended it."""
    made = running(tmp_path)
    room, seen = tmp_path / "data/..web.partial.criu", []
    dump = made.dump()

    def effect() -> None:
        seen.append(sum(path.stat().st_size for path in room.iterdir()))
        dump.effect()

    made.base.script(Write(dump.argv, effect=effect, turns=True))
    assert not module("process_checkpoint", {"images_path": str(made.images), "pid": PID}, host=made.base.host).failed
    assert seen == [5 * 16384]
    assert not room.exists()


def test_the_record_holds_what_a_restore_needs(module: Any, tmp_path: Path) -> None:
    made = other_run(tmp_path)
    accepted(made, module, "--tcp-established", "--file-locks", tcp_established=True, file_locks=True)
    record = json.loads((made.images / "criu-hosts.json").read_text())
    assert record["tcp_established"] is record["file_locks"] is True
    assert len(record["program"]) == 64
