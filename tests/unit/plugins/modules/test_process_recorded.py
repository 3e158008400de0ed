# SPDX-License-Identifier: GPL-3.0-or-later
"""process_restore takes from the record and the images what it needs, and names who is in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._process import zombies
from ansible_collections.criu.hosts.tests.unit.harness import Write
from ansible_collections.criu.hosts.tests.unit.processes import PID, ProcessWorld, process_world


def stopped(folder: Path, **record: Any) -> ProcessWorld:
    made = process_world(folder)
    made.dumped(**record)
    return made


def restored(made: ProcessWorld, module: Any, *flags: str, tail: tuple[str, ...] = (), **options: Any) -> Any:
    """Runs the module on a host that accepts only this command of CRIU."""
    made.base.script(Write(made.restore_argv(*flags, tail=tail), effect=made.come_back, turns=True))
    ran = module("process_restore", {"images_path": str(made.images), **options}, host=made.base.host)
    assert not ran.failed, ran.result
    return ran


def test_the_options_of_the_checkpoint_are_those_of_the_restore(module: Any, tmp_path: Path) -> None:
    made = stopped(tmp_path, shell_job=True, tcp_established=True, file_locks=True)
    ran = restored(made, module, "--shell-job", "--tcp-established", "--file-locks")
    assert "warnings" not in ran.result


def test_a_record_of_an_older_release_has_none_of_them(module: Any, tmp_path: Path) -> None:
    made = stopped(tmp_path)
    record = made.images / "criu-hosts.json"
    new = ("tcp_established", "file_locks", "program")
    lines = [line for line in record.read_text().splitlines() if not any(f'"{name}"' in line for name in new)]
    assert len(lines) == len(record.read_text().splitlines()) - 3
    record.write_text("\n".join(lines))
    restored(made, module)


def test_locks_in_the_images_are_restored_without_a_record_of_them(module: Any, tmp_path: Path) -> None:
    made = stopped(tmp_path)
    made.hold("locks")
    restored(made, module, "--file-locks")


def test_locks_are_lost_only_on_request_and_with_a_warning(module: Any, tmp_path: Path) -> None:
    made = stopped(tmp_path, file_locks=True)
    ran = restored(made, module, file_locks=False)
    assert "without its file locks" in str(ran.result["warnings"])


def test_a_job_without_a_terminal_needs_none(module: Any, tmp_path: Path) -> None:
    restored(stopped(tmp_path, shell_job=True), module, "--shell-job", shell_job=True)


def test_a_terminal_with_both_ends_in_the_images_needs_no_other(module: Any, tmp_path: Path) -> None:
    made = stopped(tmp_path)
    made.hold("both-ends")
    restored(made, module)


def test_a_process_in_a_foreign_session_is_a_job_whatever_the_record_says(module: Any, tmp_path: Path) -> None:
    """CRIU without --shell-job waits for the leader without end."""
    made = stopped(tmp_path)
    image = made.images / "pstree.img"
    # pid 1463 is b7 0b; the session is field 4.
    data = image.read_bytes()
    assert data.count(b"\x20\xb7\x0b") == 1
    image.write_bytes(data.replace(b"\x20\xb7\x0b", b"\x20\xb6\x0b"))
    restored(made, module, "--shell-job")


def test_a_connection_to_an_outer_socket_is_made_again(module: Any, tmp_path: Path) -> None:
    restored(stopped(tmp_path, external=["unix[7097]"]), module, tail=("--ext-unix-sk",))


def zombie(made: ProcessWorld, parent: int = 77) -> None:
    made.process(start=8421, comm="web")
    for path in (made.folder / f"proc/{PID}/task").iterdir():
        if path.name != str(PID):
            for one in sorted(path.rglob("*"), reverse=True):
                one.rmdir() if one.is_dir() else one.unlink()
            path.rmdir()
    stat = made.folder / f"proc/{PID}/stat"
    stat.write_text(stat.read_text().replace(") S 1 ", f") Z {parent} "))
    made.process(pid=parent, comm="boss")


def test_a_parent_that_does_not_reap_is_named(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zombies, "PARENT_SECONDS", 0.0)
    made = stopped(tmp_path)
    zombie(made)
    ran = module("process_restore", {"images_path": str(made.images)}, host=made.base.host)
    assert ran.result["reason"] == "pid_in_use"
    assert ran.result["pid"] == PID
    assert f"process {PID} ('web') has ended, but its parent, process 77 ('boss')" in ran.result["msg"]


def test_a_slow_parent_is_waited_for(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stopped(tmp_path)
    zombie(made)
    monkeypatch.setattr(zombies.time, "sleep", lambda dummy_seconds: made.end())
    restored(made, module)


def test_a_first_thread_that_has_ended_before_the_others_is_no_zombie(tmp_path: Path) -> None:
    made = process_world(tmp_path)
    made.process()
    stat = tmp_path / f"proc/{PID}/stat"
    stat.write_text(stat.read_text().replace(") S 1 ", ") Z 77 "))
    assert zombies.parent_of_zombie(made.base.paths, PID) == 0
