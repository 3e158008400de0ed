# SPDX-License-Identifier: GPL-3.0-or-later
"""process_restore from end to end, from images that CRIU 4.2.1 made."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import quote
from ansible_collections.criu.hosts.plugins.module_utils._process import restore_steps
from ansible_collections.criu.hosts.tests.unit.denials import enforcing_host, lines, soon
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Case, Host, Reply, Write
from ansible_collections.criu.hosts.tests.unit.processes import (
    LABEL,
    LEND,
    PID,
    RELOAD,
    RETURN,
    TIDS,
    ProcessWorld,
    applied_plans,
    process_world,
)

Built = tuple[dict[str, Any], Host]
FOREIGN = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"
START = ["systemctl", "start", "web.service"]


def params(made: ProcessWorld, **changes: Any) -> dict[str, Any]:
    return {"images_path": str(made.images), **changes}


def checkpointed(folder: Path, **world: Any) -> ProcessWorld:
    made = process_world(folder, **world)
    made.dumped()
    return made


def plain(folder: Path) -> Built:
    made = checkpointed(folder)
    made.base.script(made.restores())
    return params(made), made.base.host


def without_selinux(folder: Path) -> Built:
    made = checkpointed(folder, selinux="disabled")
    made.base.script(made.restores())
    return params(made), made.base.host


def everything(folder: Path) -> Built:
    made = checkpointed(folder)
    (folder / "sys/fs/cgroup/system.slice/web.service").mkdir(parents=True)
    argv = made.restore_argv(
        "--tcp-established", "--file-locks", cgroups="soft", tail=("--external", "mnt[data]:/data")
    )
    made.base.script(Write(argv, effect=made.come_back, turns=True))
    return params(made, tcp_established=True, file_locks=True, external=["mnt[data]:/data"]), made.base.host


def without_record(folder: Path) -> Built:
    """Images that criu made without the module; they contain the labels all the same."""
    made = process_world(folder)
    made.dumped(record=False)
    made.base.script(made.restores())
    return params(made), made.base.host


def into_unit(folder: Path) -> Built:
    """The record names the unit, and the sockets to the journal."""
    made = process_world(folder)
    made.dumped(unit="web.service", inherit=[[1, 8105]])
    made.base.script(
        made.unit(active=False, state="before"),
        made.unit(active=True, state="after"),
        Write(START, effect=made.come_back, turns=True),
    )
    return params(made), made.base.host


def transient(made: ProcessWorld, name: str, *settings: str) -> Write:
    kind = ("Type=exec",) if settings else ("Type=forking", f"PIDFile={made.pid_file}")
    properties = (*kind, "TimeoutStartSec=900", *settings)
    head = ["systemd-run", "--quiet", "--collect", f"--unit={name}", *(f"--property={one}" for one in properties)]
    options = ("--shell-job",) if settings else ()
    argv = made.restore_argv(*options)
    if settings:  # CRIU stays, as the leader of the terminal's session
        argv.remove("--restore-detached")
    return Write([*head, *argv], effect=made.come_back, turns=True)


def other_role(folder: Path) -> Built:
    """A login shell of another user and role may not take the label: systemd does it."""
    made = checkpointed(folder)
    (folder / "proc/self/attr/current").write_text(f"{FOREIGN}\0")
    name = f"criu-hosts-{PID}.service"
    made.base.script(made.unit(active=False, known=False, name=name), transient(made, name))
    return params(made), made.base.host


def terminal(folder: Path) -> Built:
    made = checkpointed(folder)
    name = f"criu-hosts-{PID}.service"
    settings = (
        "StandardInput=tty-fail",
        "TTYPath=/dev/pts/3",
        "StandardOutput=journal",
        "StandardError=journal",
    )
    made.base.script(made.unit(active=False, known=False, name=name), transient(made, name, *settings))
    return params(made, shell_job=True, terminal="/dev/pts/3"), made.base.host


def running_already(folder: Path) -> Built:
    made = checkpointed(folder)
    made.process(start=9000)
    made.work.mkdir()
    note = {"pid": PID, "start": "9000", "boot": made.record().boot, "inventory": made.record().inventory}
    (made.work / "restored.json").write_text(json.dumps(note))
    return params(made), made.base.host


def stored_chain(folder: Path) -> Built:
    made = process_world(folder)
    dump = made.put_dump(made.put_pre_dump())
    made.place = f"store/processes/web/{dump}/images"
    made.base.script(made.restores())
    return {"store": str(folder / "store"), "name": "web"}, made.base.host


CONTRACT_CASES = [
    Case("plain", plain),
    Case("without-selinux", without_selinux),
    Case("everything", everything),
    Case("without-record", without_record),
    Case("store-chain", stored_chain),
    Case("into-unit", into_unit),
    Case("other-role", other_role),
    Case("terminal", terminal),
    Case("running-already", running_already, changed=False),
]


@pytest.mark.parametrize("case", [case for case in CONTRACT_CASES if case.changed], ids=lambda case: case.id)
def test_the_plan_that_is_returned_was_applied(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    arguments, host = case.build(tmp_path)
    plans = applied_plans(monkeypatch)
    ran = module("process_restore", arguments, host=host)
    assert len(plans) == 1
    assert ran.result["commands"] == plans[0].commands == host.wrote


def label_mismatch(folder: Path) -> Built:
    made = checkpointed(folder)
    made.base.script(made.restores(label=FOREIGN))
    made.base.host.killing = made.end
    return params(made), made.base.host


def ended_at_once(folder: Path) -> Built:
    made = checkpointed(folder)
    made.base.script(Write(made.restore_argv(), effect=lambda: made.pid_file.write_text(f"{PID}\n")))
    return params(made), made.base.host


def criu_fails(folder: Path) -> Built:
    made = checkpointed(folder)
    made.base.script(Write(made.restore_argv(), rc=1))
    return params(made), made.base.host


def unit_fails(folder: Path) -> Built:
    made = process_world(folder)
    made.dumped(unit="web.service")
    made.base.script(made.unit(active=False), Write(START, rc=1))
    return params(made), made.base.host


FAILURES = {
    "label_changed": label_mismatch,
    "process_ended": ended_at_once,
    "tool_failed": criu_fails,
    "tool_failed-unit": unit_fails,
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_ran_the_plan_of_check_mode(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    arguments, host = FAILURES[case](tmp_path)
    plans = applied_plans(monkeypatch)
    checked = module("process_restore", arguments, host=host, check=True)
    ran = module("process_restore", arguments, host=host)
    assert ran.result["reason"] == case.partition("-")[0]
    assert checked.result["commands"] == plans[1].commands == host.wrote
    assert [plan.commands for plan in plans[2:]] == [[]] * (len(plans) - 2)  # only the note goes


def test_the_boolean_is_borrowed_and_the_proof_told(module: Any, tmp_path: Path) -> None:
    arguments, host = plain(tmp_path)
    ran = module("process_restore", arguments, host=host)
    assert ran.result["commands"][0] == LEND and ran.result["commands"][-1] == RETURN
    assert ran.result["label_proof"] == "enforcing"
    assert ran.result["labels"] == [
        {
            "pid": str(PID),
            "comm": "python3",
            "threads": 4,
            "tids": [str(tid) for tid in TIDS],
            "before": LABEL,
            "after": LABEL,
        }
    ]
    assert ran.result["statistics"]["restored_pages"] == 823
    assert ran.result["restore"]["cgroup"] == "/system.slice/web.service"


def test_a_unit_is_started_by_a_drop_in_that_goes_again(module: Any, tmp_path: Path) -> None:
    arguments, host = into_unit(tmp_path)
    drop_in = tmp_path / "run/systemd/system/web.service.d/99-criu-hosts.conf"
    start = next(one for one in host.replies if isinstance(one, Write) and list(one.argv) == START)
    effect, seen = start.effect, []
    object.__setattr__(start, "effect", lambda: (seen.append(drop_in.read_text()), effect()))
    ran = module("process_restore", arguments, host=host)
    assert ran.result["commands"] == [LEND, RELOAD, START, RELOAD, RETURN]
    assert "Type=forking\nRestart=no\n" in seen[0]
    assert f'ExecStart=+"{tmp_path}/criu" "restore"' in seen[0]
    assert '"--inherit-fd" "fd[1]:socket:[8105]"' in seen[0]
    assert not drop_in.parent.exists()
    assert ran.result["restore"]["unit"] == "web.service"


def test_words_of_a_unit_are_quoted() -> None:
    assert quote('/a b/$x%"\\') == '"/a b/$$x%%\\"\\\\"'


@pytest.mark.parametrize(
    "changes",
    [
        {"inherit": [[1, '9]"\nExecStartPre=+/bin/sh -c evil']]},
        {"unit": "web.service\n[Service]"},
        {"cgroup": "/../../etc"},
        {"pid": "1"},
    ],
)
def test_record_cannot_write_a_unit(module: Any, tmp_path: Path, changes: dict[str, Any]) -> None:
    made = process_world(tmp_path)
    made.dumped(**changes)
    run = module("process_restore", {"images_path": str(made.images), "unit": "web"}, host=made.base.host)
    assert run.result["reason"] == "images_invalid" and made.base.host.ran == []
    assert not (tmp_path / "run/systemd").exists()


@pytest.mark.parametrize("terminal", ["/dev/pts/3\nExecStartPre=+/bin/sh", "/dev/pts/3\r", "/dev/pts/3\x85"])
@pytest.mark.parametrize("known", [True, False])
def test_terminal_cannot_write_a_unit(module: Any, tmp_path: Path, known: bool, terminal: str) -> None:
    made = process_world(tmp_path)
    made.dumped(unit="web.service")
    made.base.script(made.unit(active=False, known=known))
    params = {"images_path": str(made.images), "unit": "web", "terminal": terminal}
    run = module("process_restore", params, host=made.base.host)
    assert run.result["reason"] == "unit_text_invalid" and made.base.host.wrote == []
    assert not (tmp_path / "run/systemd").exists()


def test_another_label_ends_the_process_and_keeps_the_images(module: Any, tmp_path: Path) -> None:
    arguments, host = label_mismatch(tmp_path)
    ran = module("process_restore", arguments, host=host)
    assert ran.result["reason"] == "label_changed"
    assert (ran.result["label_before"], ran.result["label_after"]) == (LABEL, FOREIGN)
    assert ran.host.killed == [(PID, signal.SIGKILL)]
    assert (tmp_path / "data/web/pstree.img").exists()
    assert not (tmp_path / "data/.web.criu/restored.json").exists()


def test_another_label_can_be_let_pass(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    made.base.script(made.restores(label=FOREIGN))
    ran = module("process_restore", params(made, on_label_mismatch="warn"), host=made.base.host)
    assert ran.result["changed"] is True, ran.result
    assert ran.result["label_proof"] == "label_changed"
    assert [(one["before"], one["after"]) for one in ran.result["labels"]] == [(LABEL, FOREIGN)]
    warnings = str(ran.result["warnings"])
    assert (
        LABEL in warnings and FOREIGN in warnings and "It keeps running, because on_label_mismatch is warn." in warnings
    )
    assert made.note()["start"] == "9000"


# Without the boolean: what a CRIU says that may not map its restorer, and one that may not give the label back.
LOGS = {
    "restorer": "(00.847296)   1463: Error (criu/cr-restore.c:2565): Can't map restorer code: Permission denied\n",
    "label": "pie: 1169: Error (criu/pie/restorer.c:196): can't write lsm profile -13\n",
}


@pytest.mark.parametrize("case", LOGS)
def test_a_failed_restore_keeps_the_images_and_returns_the_boolean(module: Any, tmp_path: Path, case: str) -> None:
    made = checkpointed(tmp_path)
    failing = Write(made.restore_argv(), rc=1, effect=lambda: (made.work / "restore.log").write_text(LOGS[case]))
    made.base.script(failing)
    ran = module("process_restore", params(made), host=made.base.host)
    assert ran.result["reason"] == "policy_missing"
    assert ran.result["log_tail"] == [LOGS[case].strip()]
    assert RETURN in ran.host.wrote
    assert (tmp_path / "sys/fs/selinux/booleans/unconfined_dyntrans_all").read_text() == "0 0"
    assert (made.images / "pstree.img").exists()


def test_what_selinux_refused_is_in_the_failure(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    enforcing_host(tmp_path, soon(lines("debian13-process-boolean-off.txt")[1]) + b"\n")
    made.base.script(Write(made.restore_argv(), rc=1))
    ran = module("process_restore", params(made), host=made.base.host)
    assert ran.result["reason"] == "policy_missing"
    assert [(one["class"], one["permissions"]) for one in ran.result["denials"]] == [("process", ["dyntransition"])]
    assert "SELinux refused it" in ran.result["msg"]
    assert "The images are unchanged." in ran.result["msg"]


def test_silent_refusal_is_told_beside_the_cause(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    enforcing_host(tmp_path, b"")
    made.base.script(
        Write(made.restore_argv(), rc=1, effect=lambda: (made.work / "restore.log").write_text(LOGS["label"]))
    )
    ran = module("process_restore", params(made), host=made.base.host)
    assert ran.result["denials"] == []
    assert [one["id"] for one in ran.result["silent_denials"]] == ["label_refused"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_while_criu_restores_waits_for_proof_and_note(module: Any, tmp_path: Path, number: int) -> None:
    arguments, host = plain(tmp_path)
    restore = next(one for one in host.replies if isinstance(one, Write) and "restore" in one.argv)
    effect = restore.effect
    object.__setattr__(restore, "effect", lambda: (signal.raise_signal(number), effect()))
    ran = module("process_restore", arguments, host=host)
    assert ran.result["label_proof"] == "enforcing", ran.result
    assert json.loads((tmp_path / "data/.web.criu/restored.json").read_text())["start"] == "9000"
    assert (tmp_path / "sys/fs/selinux/booleans/unconfined_dyntrans_all").read_text() == "0 0"


def original_lives(made: ProcessWorld) -> dict[str, Any]:
    made.process()
    return {}


def pid_taken(made: ProcessWorld) -> dict[str, Any]:
    made.process(start=9999, comm="sshd")
    return {}


def thread_id_taken(made: ProcessWorld) -> dict[str, Any]:
    made.process(pid=TIDS[2], start=9999, comm="cron")
    return {}


def unit_runs(made: ProcessWorld) -> dict[str, Any]:
    made.base.script(made.unit(active=True))
    return {"unit": "web.service"}


def nothing_there(made: ProcessWorld) -> dict[str, Any]:
    return {"images_path": str(made.folder / "data/none")}


def cut(made: ProcessWorld) -> dict[str, Any]:
    path = made.images / "pstree.img"
    path.write_bytes(path.read_bytes()[:-5])
    return {}


def core_missing(made: ProcessWorld) -> dict[str, Any]:
    (made.images / f"core-{TIDS[1]}.img").unlink()
    return {}


def parent_gone(made: ProcessWorld) -> dict[str, Any]:
    (made.images / "parent").symlink_to("../web.1")
    return {}


def only_memory(made: ProcessWorld) -> dict[str, Any]:
    return {"images_path": str(made.dumped(made.folder / "data/web.1", pre=True))}


def no_policy(made: ProcessWorld) -> dict[str, Any]:
    (made.folder / "sys/fs/selinux/booleans/unconfined_dyntrans_all").unlink()
    return {}


def lock_held(made: ProcessWorld) -> dict[str, Any]:
    """Another process holds a lock on one of the files on which the images hold locks."""
    made.hold("locks")
    (made.folder / "srv").mkdir(exist_ok=True)
    file = made.folder / "srv/web.db"
    file.touch()
    status = file.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    (made.folder / "proc/locks").write_text(f"1: POSIX  ADVISORY  WRITE 77 {device}:{status.st_ino} 14 20\n")
    made.process(pid=77, comm="other")
    return {}


REFUSALS = {
    "process_running": original_lives,
    "pid_in_use": pid_taken,
    "unit_running": unit_runs,
    "images_missing": nothing_there,
    "images_invalid": cut,
    "parent_changed": parent_gone,
    "images_pre_dump": only_memory,
    "policy_missing": no_policy,
    "terminal_missing": lambda made: made.hold("job-with-terminal") or {"shell_job": True},
    "shell_job_needed": lambda made: made.hold("job-with-terminal") or {"shell_job": False},
    "file_lock_held": lock_held,
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusals_touch_nothing(module: Any, tmp_path: Path, reason: str) -> None:
    made = checkpointed(tmp_path)
    changes = REFUSALS[reason](made)
    before = made.content()
    ran = module("process_restore", params(made, **changes), host=made.base.host)
    assert ran.result["reason"] == reason, ran.result
    assert ran.host.wrote == []
    assert made.content() == before


@pytest.mark.parametrize(("taken", "name"), [(pid_taken, "'sshd'"), (thread_id_taken, "'cron'")])
def test_who_has_the_id_is_named(module: Any, tmp_path: Path, taken: Any, name: str) -> None:
    made = checkpointed(tmp_path)
    taken(made)
    ran = module("process_restore", params(made), host=made.base.host)
    assert ran.result["reason"] == "pid_in_use"
    assert name in ran.result["msg"]


def test_a_thread_that_is_in_the_way_is_told_as_such(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    made.process(pid=TIDS[1], start=9999, comm="worker")
    (tmp_path / f"proc/{TIDS[1]}/status").write_text("Name:\tworker\nTgid:\t1400\n")
    ran = module("process_restore", params(made), host=made.base.host)
    assert "'worker', a thread of process 1400" in ran.result["msg"]


def test_missing_core_is_an_invalid_folder(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    core_missing(made)
    ran = module("process_restore", params(made), host=made.base.host)
    assert ran.result["reason"] == "images_invalid"
    assert f"core-{TIDS[1]}.img" in ran.result["msg"]


def test_a_job_whose_criu_ends_has_failed(module: Any, tmp_path: Path) -> None:
    arguments, host = terminal(tmp_path)
    start = next(one for one in host.replies if isinstance(one, Write) and one.argv[0] == "systemd-run")
    log = tmp_path / "data/.web.criu/restore.log"
    text = "(00.4) 4912: Error (criu/tty.c:850): tty: Can't set tty params on 0xc: Invalid argument\n"
    object.__setattr__(start, "effect", lambda: log.write_text(text))
    ended = Reply(["systemctl", "is-active", "--quiet", f"criu-hosts-{PID}.service"], rc=3)
    host.replies = [*host.replies, ended]
    ran = module("process_restore", arguments, host=host)
    assert ran.result["reason"] == "tool_failed"
    assert "CRIU failed (tty: Can't set tty params on 0xc: Invalid argument). The images" in ran.result["msg"]
    assert RETURN in ran.host.wrote


def test_a_job_whose_criu_does_not_end(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, host = terminal(tmp_path)
    start = next(one for one in host.replies if isinstance(one, Write) and one.argv[0] == "systemd-run")
    object.__setattr__(start, "effect", None)
    host.replies = [*host.replies, Reply(["systemctl", "is-active", "--quiet", f"criu-hosts-{PID}.service"])]
    object.__setattr__(start, "argv", [word.replace("=900", "=0") for word in start.argv])
    monkeypatch.setattr(restore_steps, "START_SECONDS", 0)
    monkeypatch.setattr(restore_steps, "seconds_for", dict.fromkeys(range(1 << 20), 0).get)
    ran = module("process_restore", arguments, host=host)
    assert ran.result["reason"] == "tool_failed"
    assert "it did not end within 0 s. Stop the unit. The images are unchanged." in ran.result["msg"]
    assert ran.result["log_tail"] == []
    assert RETURN in ran.host.wrote


def test_a_user_calls_criu_unprivileged(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path, selinux="disabled")
    PLACE.uid = 1000
    # CAP_CHECKPOINT_RESTORE, which the session of the user passes on.
    (made.folder / "proc/self/status").write_text("CapAmb:\t0000010000000000\n")
    argv = made.restore_argv("--unprivileged")
    argv[argv.index("--pidfile") + 1] = str(made.work / "restored.pid")

    def back() -> None:
        made.process(start=9000)
        (made.work / "restored.pid").write_text(f"{PID}\n")

    made.base.script(Write(argv, effect=back))
    ran = module("process_restore", params(made), host=made.base.host)
    assert ran.result["changed"] is True, ran.result
    assert made.note()["start"] == "9000"
