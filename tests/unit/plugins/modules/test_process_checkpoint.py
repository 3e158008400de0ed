# SPDX-License-Identifier: GPL-3.0-or-later
"""process_checkpoint from end to end, against images that CRIU 4.2.1 made."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import lock
from ansible_collections.criu.hosts.plugins.module_utils._process import target
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import pid_file_path
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Case, Host, Reply, Write
from ansible_collections.criu.hosts.tests.unit.locks import held_by_another
from ansible_collections.criu.hosts.tests.unit.processes import (
    LABEL,
    PID,
    RELOAD,
    WORKING,
    ProcessWorld,
    applied_plans,
    process_world,
)
from ansible_collections.criu.hosts.tests.unit.trusted import make_key, require, run_really

Built = tuple[dict[str, Any], Host]


def params(made: ProcessWorld, **changes: Any) -> dict[str, Any]:
    return {"pid": PID, "images_path": str(made.images), **changes}


def running(folder: Path, *, selinux: str = "enforcing") -> ProcessWorld:
    made = process_world(folder, selinux=selinux)
    made.process()
    return made


def in_store(folder: Path) -> ProcessWorld:
    made = running(folder)
    made.place = WORKING
    return made


def to_store(made: ProcessWorld, **changes: Any) -> dict[str, Any]:
    return {"pid": PID, "store": str(made.folder / "store"), "name": "web", **changes}


def by_pid(folder: Path) -> Built:
    made = running(folder)
    made.base.script(made.dump())
    return params(made), made.base.host


def by_pid_file(folder: Path) -> Built:
    made = running(folder)
    (folder / "web.pid").write_text(f"{PID}\n")
    made.base.script(made.dump("--shell-job", "--tcp-established", "--file-locks", tail=("--external", "unix[7097]")))
    flags = {"shell_job": True, "tcp_established": True, "file_locks": True, "external": ["unix[7097]"]}
    return {"pid_file": str(folder / "web.pid"), "images_path": str(made.images), **flags}, made.base.host


def by_unit(folder: Path) -> Built:
    """The output of the service leads to the journal."""
    made = running(folder)
    base = folder / f"proc/{PID}"
    (base / "fd").mkdir()
    (base / "net").mkdir()
    for descriptor in ("1", "2"):
        (base / f"fd/{descriptor}").symlink_to("socket:[8105]")
    head = "Num       RefCount Protocol Flags    Type St Inode Path\n"
    (base / "net/unix").write_text(f"{head}0000000000000000: 00000003 00000000 00000000 0001 03  8105\n")
    cgroup = folder / "sys/fs/cgroup/system.slice/web.service"
    cgroup.mkdir(parents=True)
    (cgroup / "cgroup.procs").write_text(f"{PID}\n")
    made.base.script(
        made.unit(active=True, state="before"),
        made.unit(active=False, state="after"),
        made.dump(tail=("--external", "unix[8105]")),
    )
    return {"unit": "web", "images_path": str(made.images)}, made.base.host


def leave_running(folder: Path) -> Built:
    made = running(folder)
    made.base.script(made.dump(tail=("--leave-running",)))
    return params(made, leave_running=True), made.base.host


def pre_dump(folder: Path) -> Built:
    made = running(folder)
    made.base.script(made.dump(pre=True, tail=("--track-mem",)))
    return params(made, pre_dump=True), made.base.host


def on_parent(folder: Path) -> Built:
    made = running(folder)
    parent = made.dumped(folder / "data/web.1", pre=True)
    made.base.script(made.dump(tail=("--track-mem", "--prev-images-dir", "../web.1")))
    return params(made, parent_path=str(parent)), made.base.host


def restored_since(folder: Path) -> Built:
    """The process lives again: it came from these images."""
    made = process_world(folder)
    made.process(start=9000)
    made.dumped()
    made.work.mkdir()
    note = {"pid": PID, "start": "9000", "boot": made.record().boot, "inventory": made.record().inventory}
    (made.work / "restored.json").write_text(json.dumps(note))
    made.base.script(made.dump())
    return params(made), made.base.host


def stopped_already(folder: Path) -> Built:
    made = process_world(folder)
    made.dumped()
    return params(made), made.base.host


def left_running_already(folder: Path) -> Built:
    made = running(folder)
    made.dumped(leave_running=True)
    return params(made, leave_running=True), made.base.host


def removed(folder: Path) -> Built:
    made = process_world(folder)
    made.dumped()
    made.work.mkdir()
    return {"images_path": str(made.images), "state": "absent"}, made.base.host


def gone_already(folder: Path) -> Built:
    made = process_world(folder)
    return {"images_path": str(made.images), "state": "absent"}, made.base.host


def stored(folder: Path) -> Built:
    made = in_store(folder)
    made.base.script(made.dump())
    return to_store(made), made.base.host


def stored_pre_dump(folder: Path) -> Built:
    made = in_store(folder)
    made.base.script(made.dump(pre=True, tail=("--track-mem",)))
    return to_store(made, pre_dump=True), made.base.host


def stored_on_parent(folder: Path) -> Built:
    made = in_store(folder)
    parent = made.put_pre_dump()
    made.base.script(made.dump(tail=("--track-mem", "--prev-images-dir", f"../../{parent}/images")))
    return to_store(made, parent="latest"), made.base.host


def stored_signed(folder: Path) -> Built:
    require("ssh-keygen")
    made = in_store(folder)
    made.base.script(made.dump())
    run_really(made.base.host)
    (folder / "keys").mkdir(mode=0o700)
    return to_store(made, signing_key=str(make_key(folder / "keys"))), made.base.host


def stored_already(folder: Path) -> Built:
    made = in_store(folder)
    made.end()
    made.put_dump(made.put_pre_dump())
    return to_store(made, parent="latest"), made.base.host


CONTRACT_CASES = [
    Case("by-pid", by_pid),
    Case("by-pid-file-with-everything", by_pid_file),
    Case("by-unit", by_unit),
    Case("leave-running", leave_running),
    Case("pre-dump", pre_dump),
    Case("on-parent", on_parent),
    Case("store", stored),
    Case("store-pre-dump", stored_pre_dump),
    Case("store-on-parent", stored_on_parent),
    Case("store-signed", stored_signed),
    Case("store-chain-already", stored_already, changed=False),
    Case("restored-since", restored_since),
    Case("stopped-already", stopped_already, changed=False),
    Case("left-running-already", left_running_already, changed=False),
    Case("removed", removed),
    Case("gone-already", gone_already, changed=False),
]


@pytest.mark.parametrize("case", [case for case in CONTRACT_CASES if case.changed], ids=lambda case: case.id)
def test_the_plan_that_is_returned_was_applied(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    arguments, host = case.build(tmp_path)
    plans = applied_plans(monkeypatch)
    ran = module("process_checkpoint", arguments, host=host)
    assert len(plans) == 1
    assert ran.result["commands"] == plans[0].commands == host.wrote


def test_a_failure_ran_the_plan_of_check_mode(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, host = by_unit(tmp_path)
    dump = next(one for one in host.replies if isinstance(one, Write) and "dump" in one.argv)
    object.__setattr__(dump, "rc", 1)
    object.__setattr__(dump, "effect", None)
    plans = applied_plans(monkeypatch)
    checked = module("process_checkpoint", arguments, host=host, check=True)
    ran = module("process_checkpoint", arguments, host=host)
    assert (ran.result["reason"], ran.result["process_state"]) == ("tool_failed", "running")
    assert checked.result["commands"] == plans[1].commands == host.wrote == [RELOAD, list(dump.argv), RELOAD]
    assert [plan.commands for plan in plans[2:]] == [[]]


def test_the_images_are_private_and_complete(module: Any, tmp_path: Path) -> None:
    arguments, host = by_pid(tmp_path)
    ran = module("process_checkpoint", arguments, host=host)
    folder = Path(arguments["images_path"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert sorted(path.name for path in folder.parent.iterdir()) == [".web.criu", "web"]
    record = json.loads((folder / "criu-hosts.json").read_text())
    assert (record["pid"], record["start"], record["leave_running"]) == (PID, "8421", False)
    assert ran.result["checkpoint"]["process_state"] == "absent"
    assert ran.result["checkpoint"]["start_ticks"] == 8421
    assert ran.result["statistics"]["frozen_microseconds"] == 807503
    assert ran.result["statistics"]["written_pages"] == 823


def test_a_unit_gets_its_drop_in_for_the_dump_only(module: Any, tmp_path: Path) -> None:
    arguments, host = by_unit(tmp_path)
    drop_in = tmp_path / "run/systemd/system/web.service.d/99-criu-hosts.conf"
    seen = []
    dump = next(one for one in host.replies if isinstance(one, Write) and "dump" in one.argv)
    effect = dump.effect
    object.__setattr__(dump, "effect", lambda: (seen.append(drop_in.read_text()), effect()))
    ran = module("process_checkpoint", arguments, host=host)
    assert ran.result["changed"] is True
    assert "Restart=no\nSuccessExitStatus=SIGKILL\n" in seen[0]
    assert not drop_in.parent.exists()
    assert json.loads((tmp_path / "data/web/criu-hosts.json").read_text())["inherit"] == [[1, 8105]]
    assert ran.result["checkpoint"]["unit"] == "web.service"


def test_a_drop_in_folder_of_somebody_else_stays(module: Any, tmp_path: Path) -> None:
    arguments, host = by_unit(tmp_path)
    other = tmp_path / "run/systemd/system/web.service.d/mine.conf"
    other.parent.mkdir(parents=True)
    other.write_text("[Service]\n")
    assert module("process_checkpoint", arguments, host=host).result["changed"] is True
    assert [path.name for path in other.parent.iterdir()] == ["mine.conf"]


def test_the_same_run_is_ended_when_that_is_wanted_now(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    made.dumped(leave_running=True)
    made.base.script(made.dump())
    ran = module("process_checkpoint", params(made), host=made.base.host)
    assert ran.result["changed"] is True
    assert json.loads((made.images / "criu-hosts.json").read_text())["leave_running"] is False


def failing(folder: Path, log: str) -> ProcessWorld:
    """The dump fails with what CRIU wrote."""
    made = running(folder)
    write = made.dump(rc=1)
    object.__setattr__(write, "effect", lambda: (made.work / "dump.log").write_text(log))
    made.base.script(write)
    return made


# Recorded; external_needed is of a service whose output leads to the journal, dumped by its pid.
LOGS = {
    "tcp_established_needed": "4.2.1-dump-connected-tcp.log.txt",
    "file_locks_needed": "4.2.1-dump-file-locks.log.txt",
    "shell_job_needed": "4.2.1-dump-dangling-tty.log.txt",
    "memory_tracking_missing": "4.2.1-dump-no-soft-dirty.log.txt",
    "external_needed": "4.2.1-dump-external-socket.log.txt",
    "disk_full": "4.2.1-dump-disk-full.log.txt",
    "tool_failed": "",
}


@pytest.mark.parametrize("reason", LOGS)
def test_a_failed_dump_harms_nothing(module: Any, tmp_path: Path, reason: str, fixture_text: Any) -> None:
    log = fixture_text(f"criu/{LOGS[reason]}") if LOGS[reason] else "(00.70) Error (criu/mem.c:1): something new\n"
    made = failing(tmp_path, log)
    ran = module("process_checkpoint", params(made), host=made.base.host)
    assert ran.result["reason"] == reason
    assert ran.result["process_state"] == "running"
    assert "It keeps running." in ran.result["msg"]
    assert ran.result["log_path"] == str(made.work / "dump.log")
    assert ran.result["log_tail"]
    assert (ran.result["denials"], ran.result["silent_denials"]) == ([], [])
    assert sorted(path.name for path in made.images.parent.iterdir()) == [".web.criu"]


def ended_and_blocked(folder: Path, **restore: Any) -> ProcessWorld:
    """CRIU ends the process, and its images cannot be put in place; a restore from where they are does this."""
    made = running(folder, selinux="disabled")
    dump = made.dump()
    effect = dump.effect

    def dump_and_block_the_name() -> None:
        effect()
        made.images.write_text("in the way")

    object.__setattr__(dump, "effect", dump_and_block_the_name)
    partial, work = str(made.folder / "data/.web.partial"), str(made.folder / "data/..web.partial.criu")
    argv = [made.criu, "restore", "--images-dir", partial, "--work-dir", work, "--log-file", "restore.log", "-v4"]
    tail = ["--restore-detached", "--pidfile", pid_file_path(PLACE.paths, partial), "--manage-cgroups=ignore"]

    def back() -> None:
        made.process(start=9000)
        Path(pid_file_path(PLACE.paths, partial)).write_text(f"{PID}\n")

    made.base.script(dump, Write([*argv, *tail], **{"effect": back, **restore}))
    return made


def test_a_process_that_criu_ended_is_brought_back(module: Any, tmp_path: Path) -> None:
    """The images cannot be put in place: the process is restored from where they are."""
    made = ended_and_blocked(tmp_path)
    ran = module("process_checkpoint", params(made), host=made.base.host)
    assert ran.result["reason"] == "file_failed"
    assert "It was brought back from its images and keeps running." in ran.result["msg"]
    assert ran.result["process_state"] == "running"
    assert "cleanup_failed" not in ran.result
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [".web.criu", "web"]


def test_a_process_that_cannot_be_brought_back_keeps_its_images(module: Any, tmp_path: Path) -> None:
    made = ended_and_blocked(tmp_path, rc=1, effect=None)
    ran = module("process_checkpoint", params(made), host=made.base.host)
    assert ran.result["reason"] == "file_failed"
    assert ran.result["process_state"] == "checkpointed"
    assert f"It is stopped in '{tmp_path}/data/.web.partial' and could not be brought back: " in ran.result["msg"]
    assert len(ran.result["cleanup_failed"]) == 1
    assert (tmp_path / "data/.web.partial/pstree.img").exists()


def no_process(made: ProcessWorld) -> dict[str, Any]:
    made.end()
    return {}


def images_of_another_pid(made: ProcessWorld) -> dict[str, Any]:
    made.dumped()
    return {"pid": 77}


def other_images(made: ProcessWorld) -> dict[str, Any]:
    made.dumped(exe="/usr/sbin/other", start="1")
    return {}


def foreign_folder(made: ProcessWorld) -> dict[str, Any]:
    made.images.mkdir()
    (made.images / "letter.txt").write_text("dear")
    return {}


def cut_off(made: ProcessWorld) -> dict[str, Any]:
    made.dumped(made.images.parent / ".web.partial", start="1")
    return {}


def open_folder(made: ProcessWorld) -> dict[str, Any]:
    made.images.parent.chmod(0o777)
    return {}


def no_criu(made: ProcessWorld) -> dict[str, Any]:
    made.base.host.tools["criu"] = None
    return {}


def criu_loses_labels(made: ProcessWorld) -> dict[str, Any]:
    made.base.criu()
    return {}


def parent_of_another(made: ProcessWorld) -> dict[str, Any]:
    return {"parent_path": str(made.dumped(made.folder / "data/web.1", pre=True, start="1"))}


def parent_elsewhere(made: ProcessWorld) -> dict[str, Any]:
    return {"parent_path": "/var/lib/other/web.1"}


def bad_pid_file(made: ProcessWorld) -> dict[str, Any]:
    (made.folder / "web.pid").write_text("12 34\n")
    return {"pid": None, "pid_file": str(made.folder / "web.pid")}


def unknown_unit(made: ProcessWorld) -> dict[str, Any]:
    made.base.script(made.unit(active=False, known=False))
    return {"pid": None, "unit": "web"}


def unit_with_strangers(made: ProcessWorld) -> dict[str, Any]:
    cgroup = made.folder / "sys/fs/cgroup/system.slice/web.service"
    cgroup.mkdir(parents=True)
    (cgroup / "cgroup.procs").write_text(f"{PID}\n77\n")
    made.base.script(made.unit(active=True))
    return {"pid": None, "unit": "web"}


def not_root(made: ProcessWorld) -> dict[str, Any]:
    PLACE.uid = 1000
    return {"pid": None, "unit": "web"}


REFUSALS = {
    "process_missing": no_process,
    "images_mismatch": other_images,
    "images_invalid": foreign_folder,
    "images_partial": cut_off,
    "images_path_unsafe": open_folder,
    "criu_missing": no_criu,
    "criu_without_selinux": criu_loses_labels,
    "parent_invalid": parent_of_another,
    "pid_file_invalid": bad_pid_file,
    "unit_missing": unknown_unit,
    "unit_has_more": unit_with_strangers,
    "root_needed": not_root,
    "process_refused": lambda made: made.process(pid=1) or {"pid": 1},
    "unit_invalid": lambda dummy_made: {"pid": None, "unit": "web.socket"},
    "external_invalid": lambda dummy_made: {"external": ["socket=7"]},
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusals_touch_nothing(module: Any, tmp_path: Path, reason: str) -> None:
    made = running(tmp_path)
    changes = REFUSALS[reason](made)
    before = made.content()
    arguments = {key: value for key, value in params(made, **changes).items() if value is not None}
    ran = module("process_checkpoint", arguments, host=made.base.host)
    assert ran.result["reason"] == reason, ran.result
    assert ran.result["msg"].endswith(".") and "\n" not in ran.result["msg"]
    assert ran.host.wrote == []
    assert made.content() == before


def user_of(made: ProcessWorld, uid: int) -> None:
    path = made.folder / f"proc/{PID}/status"
    path.write_text(f"{path.read_text()}Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n")


@pytest.mark.parametrize(("uid", "reason"), [(0, "pid_file_invalid"), (4242, None)])
def test_a_pid_file_of_a_user_names_a_process_of_that_user(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, reason: str | None
) -> None:
    made = running(tmp_path)
    made.base.script(made.dump())
    user_of(made, uid)
    path = tmp_path / "web.pid"
    path.write_text(f"{PID}\n")
    lstat = os.lstat

    def of_a_user(name: Any, **options: Any) -> os.stat_result:
        status = lstat(name, **options)
        return os.stat_result((*status[:4], 4242, *status[5:])) if str(name) == str(path) else status

    monkeypatch.setattr(target.os, "lstat", of_a_user)
    monkeypatch.setattr(target, "read_below", lambda *dummy_names, **dummy_options: path.read_bytes())
    arguments = {"pid_file": str(path), "images_path": str(made.images)}
    ran = module("process_checkpoint", arguments, host=made.base.host)
    assert ran.result.get("reason") == reason, ran.result
    assert bool(ran.host.wrote) is (reason is None)


@pytest.mark.parametrize("kind", ["link", "pipe", "large"])
def test_a_pid_file_is_a_small_file(module: Any, tmp_path: Path, kind: str) -> None:
    made = running(tmp_path)
    path = tmp_path / "web.pid"
    if kind == "link":
        (tmp_path / "other.pid").write_text(f"{PID}\n")
        path.symlink_to("other.pid")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text(f"{PID}{' ' * 5000}")
    ran = module("process_checkpoint", {"pid_file": str(path), "images_path": str(made.images)}, host=made.base.host)
    assert ran.result["reason"] == "pid_file_invalid"


@pytest.mark.parametrize(("kind", "thing"), [("images", "data/web"), ("process", PID), ("unit", "web.service")])
def test_a_dump_holds_the_images_the_unit_and_the_process(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, thing: Any
) -> None:
    arguments, host = by_unit(tmp_path)
    name = str(tmp_path / thing) if kind == "images" else str(thing)
    path = lock.lock_path(PLACE.paths, 0, kind, name)
    monkeypatch.setattr(lock, "HOLD_SECONDS", 0)
    with held_by_another(path):
        assert module("process_checkpoint", arguments, host=host).result["reason"] == "busy"
    assert host.wrote == []
    assert module("process_checkpoint", arguments, host=host).result["changed"] is True


def test_parent_images_are_held_too(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, host = on_parent(tmp_path)
    monkeypatch.setattr(lock, "HOLD_SECONDS", 0)
    with held_by_another(lock.lock_path(PLACE.paths, 0, "images", arguments["parent_path"])):
        assert module("process_checkpoint", arguments, host=host).result["reason"] == "busy"


def test_a_drop_in_that_a_killed_task_left_is_removed(module: Any, tmp_path: Path) -> None:
    """Its note is with other images; the unit is held, so nobody needs the drop-in."""
    arguments, host = by_unit(tmp_path)
    drop_in = tmp_path / "run/systemd/system/web.service.d/99-criu-hosts.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("# By criu.hosts, while it restores the main process.\n[Service]\nRestart=no\n")
    checked = module("process_checkpoint", arguments, host=host, check=True)
    ran = module("process_checkpoint", arguments, host=host)
    assert ran.result["commands"] == checked.result["commands"]
    assert ran.result["commands"][0] == RELOAD
    assert not drop_in.parent.exists()


def test_images_of_another_process_are_not_current(module: Any, tmp_path: Path) -> None:
    made = process_world(tmp_path)
    ran = module("process_checkpoint", params(made, **images_of_another_pid(made)), host=made.base.host)
    assert ran.result["reason"] == "process_missing"


def test_parent_images_lie_beside(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    ran = module("process_checkpoint", params(made, **parent_elsewhere(made)), host=made.base.host)
    assert ran.result["reason"] == "parent_invalid"


def test_absent_removes_images_only(module: Any, tmp_path: Path) -> None:
    made = process_world(tmp_path)
    foreign_folder(made)
    ran = module(
        "process_checkpoint", {"images_path": str(made.images), "state": "absent"}, commands=[Reply(["never"])]
    )
    assert ran.result["reason"] == "images_invalid"
    assert (made.images / "letter.txt").exists()


def test_permissive_warns(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path, selinux="permissive")
    made.base.script(made.dump())
    ran = module("process_checkpoint", params(made), host=made.base.host)
    assert len(ran.result["warnings"]) == 1
    assert LABEL.startswith("system_u")
