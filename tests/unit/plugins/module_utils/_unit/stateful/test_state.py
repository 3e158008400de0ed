# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of stateful units, from end to end, against podman's recorded answers."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import Interrupted
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import seconds_for
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import cgroup_memory, folder_bytes
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful import main, starting, stopping
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful import run as _unit_state_run
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import (
    FAILED,
    last_path,
    pid_file,
    stateful_create,
    stateful_service,
)
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import (
    Last,
    choose,
    images_bytes,
    is_same,
    parse_last,
    parse_spec,
    read_last,
)
from ansible_collections.criu.hosts.tests.unit.containers import (
    ID,
    LABEL,
    OFF,
    ON,
    checkpoint_argv,
    pid_of,
    recorded,
)
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Write
from ansible_collections.criu.hosts.tests.unit.mounted import put_mounts, put_sources
from ansible_collections.criu.hosts.tests.unit.stateful_units import CREATE, IMAGES, RESTORE, SPEC, START, STOP, Machine


@pytest.fixture(name="machine")
def machine_fixture(tmp_path: Path) -> Any:
    return lambda **spec: Machine(tmp_path, **spec)


def last() -> Last:
    found = read_last(PLACE.paths, "web")
    assert found is not None
    return found


def container(**changes: Any) -> Container:
    base = Container(ID, "web", "exited", 0, "i", "8177", "runc", LABEL, own={"work_dir": "/nowhere"})
    return replace(base, **{"labels": {"criu.hosts.digest": "d1"}, **changes})


def spec(**changes: Any) -> Any:
    return parse_spec(json.dumps({**SPEC, "conmon_pid_file": "/run/p", **changes}), "web", "web.json")


@pytest.mark.parametrize(
    ("box", "before", "action", "why"),
    [
        pytest.param(None, None, "create", "no container", id="nothing-there"),
        pytest.param(container(labels={}), None, "replace", "has changed", id="other-description"),
        pytest.param(container(status="running"), None, "running", "", id="runs-already"),
        pytest.param(container(), None, "start", "no checkpoint", id="no-checkpoint"),
        pytest.param(
            container(), Last("clean_stop", 1.0, id=ID, why="a lock"), "start", "a lock", id="clean-stop-says-why"
        ),
        pytest.param(
            container(), Last("clean_stop", 1.0, id="x", why="a lock"), "start", "was no", id="clean-stop-of-another"
        ),
        pytest.param(container(stamp="7"), None, "start", "kept running", id="no-record"),
        pytest.param(
            container(stamp="7"), Last("restored", 1.0, id=ID, stamp="7"), "start", "kept running", id="used-already"
        ),
        pytest.param(
            container(stamp="7"), Last("dumped", 1.0, id=ID, stamp="6"), "start", "last stop", id="other-dump"
        ),
        pytest.param(container(stamp="7"), Last("dumped", 1.0, id="x", stamp="7"), "start", "last stop", id="other-id"),
        pytest.param(container(stamp="7"), Last("dumped", 1.0, id=ID, stamp="7"), "restore", "", id="its-own"),
        pytest.param(container(stamp="7", checkpointed=True), None, "restore", "", id="made-by-hand"),
    ],
)
def test_choice(box: Any, before: Any, action: str, why: str) -> None:
    choice = choose(spec(), box, None, before)
    assert choice.action == action
    assert why in (choice.why or "")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 2, "name": "web"}', '{"version": 1, "name": "db", "create": []}', '{"version": 1}']
)
def test_spec_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_spec(text, "web", "web.json")
    assert caught.value.reason == "unit_spec_invalid"


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"action": "dumped"}'])
def test_record_that_is_not_understood_is_none(text: Any) -> None:
    assert parse_last(text) is None


def test_time_grows_with_memory() -> None:
    assert seconds_for(0) == 300
    assert seconds_for(1 << 30) == 300 + 256


@pytest.mark.parametrize("inside", ["", "/container"])
def test_memory_of_the_scope(machine: Any, inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = machine()
    scope = made.folder / "sys/fs/cgroup/machine.slice/libpod-1.scope"
    scope.mkdir(parents=True)
    (scope / "memory.current").write_text("4096\n")
    (made.folder / "proc/7").mkdir(parents=True)
    (made.folder / "proc/7/cgroup").write_text(f"1:name=systemd:/\n0::/machine.slice/libpod-1.scope{inside}\n")
    assert cgroup_memory(made.world.paths, 7) == 4096
    assert cgroup_memory(made.world.paths, 8) is None


def test_first_start_creates_the_container(machine: Any) -> None:
    made = machine()
    made.knows("")
    made.script(Write(CREATE), Write(START, turns=True))
    _unit_state_run.start(made.unit())
    assert made.wrote == [CREATE, START]
    assert (last().action, last().why) == ("fresh", "there was no container yet")
    assert made.said[-1][0] == "info"


def test_another_description_makes_another_container_and_keeps_the_old_state(machine: Any) -> None:
    made = machine(digest="d2")
    made.checkpointed()
    made.knows("checkpointed")
    remove = ["podman", "rm", "--force", "--ignore", "--time=0", "web"]
    made.script(Write(remove), Write(CREATE), Write(START, turns=True))
    _unit_state_run.start(made.unit())
    assert made.wrote == [remove, CREATE, START]
    aside = Path(last().aside or "")
    assert (
        aside.parent == made.folder / "var/lib/criu-hosts/aside/web" and (aside / "checkpoint/inventory.img").exists()
    )
    assert aside.stat().st_mode & 0o777 == 0o700
    assert made.said[-1][0] == "warning"


def restored(made: Machine, label: str = LABEL, **options: Any) -> Write:
    """podman restores: the same first process as in the recording, with this label."""

    def revive() -> None:
        made.world.process(pid_of("running"), [label] * 4)

    return Write(RESTORE, out=recorded("restore-in-place.json"), effect=revive, **options)


def test_start_after_a_boot_restores_with_proof_and_forgets_the_checkpoint(machine: Any) -> None:
    made = machine()
    made.checkpointed(boot_id="of the boot before")
    made.knows("after-disk-full")
    made.script(restored(made, turns=True))
    Path(made.spec["conmon_pid_file"]).write_text("1")
    _unit_state_run.start(made.unit())
    assert made.world.host.wrote == [ON, RESTORE, OFF]
    assert (last().action, last().label_proof, last().id) == ("restored", "enforcing", ID)
    assert [entry["after"] for entry in last().labels] == [LABEL]
    assert last().previous and last().previous["boot_id"] == "of the boot before"
    assert last().previous["previous"] is None
    assert not (made.world.userdata / "checkpoint").exists()
    assert not Path(made.spec["conmon_pid_file"]).exists()
    assert made.said == [("info", "Container 'web' was restored from 0 MiB; label proof: enforcing.")]


def broken(made: Machine) -> Write:
    return Write(RESTORE, rc=125, err="Error: OCI runtime error: runc: criu failed: type NOTIFY errno 0\n")


def test_failed_restore_starts_afresh_and_keeps_the_checkpoint(machine: Any) -> None:
    made = machine()
    made.checkpointed()
    made.knows("after-disk-full")
    made.script(broken(made), Write(START, turns=True))
    _unit_state_run.start(made.unit())
    assert made.world.host.wrote == [ON, RESTORE, OFF, START]
    assert (last().action, last().reason) == ("fresh", "tool_failed")
    assert (Path(last().aside or "") / "checkpoint/pstree.img").exists()
    assert not (made.world.userdata / "checkpoint").exists()
    assert [priority for priority, dummy in made.said] == ["err", "warning"]
    assert not any("log_tail" in text for dummy, text in made.said), "a journal has no facts"


@pytest.mark.parametrize(("rc", "ended"), [(124, [f"machine.slice/libpod-{ID}.scope"]), (125, [])])
def test_only_a_restore_that_hung_leaves_something(
    machine: Any, monkeypatch: pytest.MonkeyPatch, rc: int, ended: list[str]
) -> None:
    made = machine()
    made.checkpointed()
    made.knows("after-disk-full")
    seen: list[str] = []
    monkeypatch.setattr(starting, "remains", lambda dummy_paths, dummy_name, cgroups: seen.extend(cgroups) or [])
    made.script(Write(RESTORE, rc=rc, err="it did not end in 480 seconds"), Write(START, turns=True))
    _unit_state_run.start(made.unit())
    assert seen == ended


def test_failed_restore_is_refused_if_that_is_chosen(machine: Any) -> None:
    made = machine(on_restore_failure="refuse")
    made.checkpointed()
    made.knows("after-disk-full")
    made.script(broken(made))
    with pytest.raises(CheckpointError):
        _unit_state_run.start(made.unit())
    assert made.wrote == [RESTORE]
    assert last().action == "refused"
    assert (made.world.userdata / "checkpoint/pstree.img").exists()
    made.world.host.replies = [one for one in made.world.host.replies if list(one.argv) != RESTORE]
    made.script(restored(made, turns=True))
    _unit_state_run.start(made.unit())
    assert last().action == "restored", "the next start tries again"


@pytest.mark.parametrize("mode", ["fresh", "refuse"])
def test_images_that_are_cut_off_are_not_given_to_criu(machine: Any, mode: str) -> None:
    made = machine(on_restore_failure=mode)
    made.checkpointed(size_bytes=folder_bytes(str(IMAGES)) + (1 << 30))
    made.knows("after-disk-full")
    made.script(Write(START, turns=True))
    if mode == "refuse":
        with pytest.raises(CheckpointError) as caught:
            _unit_state_run.start(made.unit())
        assert caught.value.reason == "checkpoint_damaged"
        assert last().size_bytes, "kept for the next try"
    else:
        _unit_state_run.start(made.unit())
    assert made.wrote == ([START] if mode == "fresh" else [])
    assert (last().action, last().reason) == ("fresh" if mode == "fresh" else "refused", "checkpoint_damaged")


def test_what_a_hung_restore_leaves_is_ended(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = machine()
    (made.folder / "proc/self/cgroup").write_text("0::/system.slice/web.service\n")
    for path, pids in (
        ("system.slice/web.service", [os.getpid(), 11]),
        (f"machine.slice/libpod-{ID}.scope/container", [12]),
        ("machine.slice/libpod-other.scope", [13]),
    ):
        (made.folder / "sys/fs/cgroup" / path).mkdir(parents=True)
        (made.folder / "sys/fs/cgroup" / path / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
    assert starting.remains(PLACE.paths, "web", Podman().cgroups(container())) == [11, 12]


def test_lost_label_stops_the_container_and_starts_it_afresh(machine: Any) -> None:
    made = machine()
    made.checkpointed()
    made.knows("after-disk-full")
    kill = ["podman", "stop", "--ignore", "--time=0", "web"]
    made.script(restored(made, "system_u:system_r:podman_t:s0"), Write(kill), Write(START, turns=True))
    _unit_state_run.start(made.unit())
    assert made.wrote == [RESTORE, kill, START]
    assert (last().action, last().reason) == ("fresh", "label_changed")


def test_interrupted_restore_keeps_everything_for_the_next_start(machine: Any) -> None:
    made = machine()
    made.checkpointed()
    made.knows("after-disk-full")

    def stop() -> None:
        raise Interrupted(15)

    made.script(Write(RESTORE, effect=stop))
    with pytest.raises(CheckpointError) as caught:
        _unit_state_run.start(made.unit())
    assert caught.value.reason == "interrupted"
    assert made.wrote == [RESTORE]
    assert last().action == "dumped"
    assert (made.world.userdata / "checkpoint/pstree.img").exists()


def test_start_of_a_running_container_does_nothing(machine: Any) -> None:
    made = machine()
    made.knows("running")
    (made.folder / "proc/77").mkdir()
    Path(made.spec["conmon_pid_file"]).write_text("77\n")
    _unit_state_run.start(made.unit())
    assert made.wrote == []
    assert read_last(PLACE.paths, "web") is None


@pytest.mark.parametrize("text", [None, "", "78"])
def test_running_container_without_conmon_is_replaced(machine: Any, text: str | None) -> None:
    made = machine()
    made.knows("running")
    if text is not None:
        Path(made.spec["conmon_pid_file"]).write_text(text)
    remove = ["podman", "rm", "--force", "--ignore", "--time=0", "web"]
    made.script(Write(remove), Write(CREATE), Write(START, turns=True))
    _unit_state_run.start(made.unit())
    assert made.wrote == [remove, CREATE, START]
    assert "conmon" in (last().why or "")


def test_start_without_description_fails(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = machine()
    made.file.unlink()
    with pytest.raises(CheckpointError) as caught:
        _unit_state_run.start(made.unit())
    assert caught.value.reason == "unit_spec_invalid"


def dumps(made: Machine) -> Write:
    def dump() -> None:
        made.world.end(pid_of("running"))
        made.world.dump()

    return Write(checkpoint_argv(), out=recorded("checkpoint-in-place.json"), turns=True, effect=dump)


def test_stop_dumps_and_records_it(machine: Any) -> None:
    made = machine()
    made.world.process(pid_of("running"), [LABEL] * 4)
    made.knows("running", "checkpointed")
    made.script(dumps(made))
    _unit_state_run.stop(made.unit())
    assert made.wrote == [checkpoint_argv()]
    assert (made.folder / "run/criu-hosts/stopping/web").exists()
    assert (last().action, last().id, last().stamp) == ("dumped", ID, "1000000000")
    assert last().size_bytes == len(b"inventory")
    assert last().statistics["written_pages"] == 1405
    assert Path(last_path(PLACE.paths, "web")).stat().st_mode & 0o777 == 0o600
    assert made.allowed == [300 + 3 + 240]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"digest": "d2"}, "the description of the container has changed", id="other-description"),
        pytest.param({}, "the unit's description is gone", id="being-removed"),
    ],
)
def test_stop_that_is_to_keep_nothing_is_clean(
    machine: Any, changes: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(**changes)
    if not changes:
        made.file.unlink()
    made.knows("running")
    stop = STOP if changes else [*STOP[:3], "--time=10", "web"]
    made.script(Write(stop))
    _unit_state_run.stop(made.unit())
    assert made.wrote == [stop]
    assert (last().action, last().why) == ("clean_stop", why)


def test_failed_dump_is_a_clean_stop_and_said(machine: Any) -> None:
    made = machine()
    made.world.process(pid_of("running"), [LABEL] * 4)
    made.knows("running")
    line = "Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option."
    (made.world.userdata / "dump.log").write_text(f"{line}\n")
    failed = "Error: OCI runtime error: runc: criu failed: type NOTIFY errno 0\n"
    made.script(Write(checkpoint_argv(), rc=125, err=failed), Write(STOP))
    _unit_state_run.stop(made.unit())
    assert made.wrote == [checkpoint_argv(), STOP]
    assert (last().action, last().reason) == ("clean_stop", "tcp_established_needed")
    assert made.said[0][0] == "warning" and "The unit is stopped without its state." in made.said[0][1]


def test_a_replaced_mount_is_a_clean_stop_and_the_next_start_says_why(machine: Any) -> None:
    made = machine()
    made.world.process(pid_of("running"), [LABEL] * 4)
    put_sources(made.folder)
    put_mounts(made.world, inside="container-replaced")
    made.knows("running", "checkpointed", Checkpointed=False)
    made.script(Write(STOP, turns=True), Write(START, turns=True))
    _unit_state_run.stop(made.unit())
    assert made.wrote == [STOP]
    assert (last().action, last().reason) == ("clean_stop", "mount_replaced")
    assert made.said[0][0] == "warning" and "was replaced on the host" in made.said[0][1]
    made.said.clear()
    _unit_state_run.start(made.unit())
    assert made.wrote == [STOP, START]
    assert (last().action, last().reason) == ("fresh", "mount_replaced")
    assert any("was replaced on the host" in text for dummy, text in made.said)


@pytest.mark.parametrize("policy", ["fresh", "refuse"])
def test_a_restore_that_would_unmount_from_the_host_is_not_run(machine: Any, policy: str) -> None:
    made = machine(on_restore_failure=policy)
    put_sources(made.folder)
    put_mounts(made.world, around="host-below")
    made.checkpointed()
    made.knows("checkpointed", Checkpointed=False)
    made.script(Write(START, turns=True))
    if policy == "refuse":
        with pytest.raises(CheckpointError) as caught:
            _unit_state_run.start(made.unit())
        assert (caught.value.reason, made.wrote) == ("host_mounts_at_risk", [])
        assert (made.world.userdata / "checkpoint/inventory.img").exists()
        assert (last().action, last().reason) == ("refused", "host_mounts_at_risk")
        return
    _unit_state_run.start(made.unit())
    assert made.wrote == [START]
    assert (last().action, last().reason) == ("fresh", "host_mounts_at_risk")
    assert (Path(last().aside or "") / "checkpoint/inventory.img").exists()


def test_a_stop_warns_of_a_restore_that_would_be_refused(machine: Any) -> None:
    made = machine()
    made.world.process(pid_of("running"), [LABEL] * 4)
    put_sources(made.folder)
    put_mounts(made.world, around="host-below")
    made.knows("running", "checkpointed")
    made.script(dumps(made))
    _unit_state_run.stop(made.unit())
    assert made.wrote == [checkpoint_argv()]
    assert any(word == "warning" and "/srv/t/a b/disk" in text for word, text in made.said)


def test_a_record_that_cannot_be_written_does_not_keep_the_unit_from_stopping(machine: Any) -> None:
    made = machine(digest="d2")
    made.knows("running")
    made.script(Write(STOP))
    (made.folder / "var/lib/criu-hosts").write_text("in the way")
    _unit_state_run.stop(made.unit())
    assert made.wrote == [STOP]
    assert ("warning") in [priority for priority, dummy in made.said]


@pytest.mark.parametrize("case", ["after-disk-full", ""])
def test_stop_of_what_does_not_run_does_nothing(machine: Any, case: str) -> None:
    made = machine()
    made.knows(case)
    _unit_state_run.stop(made.unit())
    assert made.wrote == [] and read_last(PLACE.paths, "web") is None
    assert not (made.folder / "run/criu-hosts/stopping").exists(), "what ended by itself was not stopped"


def test_container_that_outlived_its_unit_is_dumped(machine: Any) -> None:
    made = machine()
    made.world.process(pid_of("running"), [LABEL] * 4)
    made.knows("running", "checkpointed")
    made.script(dumps(made))
    _unit_state_run.stopped(made.unit(), "success", "unknown")
    assert made.wrote == [checkpoint_argv()]
    assert last().action == "dumped"


def test_container_that_outlived_its_unit_is_stopped_only_if_it_cannot_be_dumped(machine: Any) -> None:
    made = machine()
    made.world.process(pid_of("running"), [LABEL] * 4)
    made.knows("running")
    made.script(Write(checkpoint_argv(), rc=125, err="Error: criu failed"), Write(STOP))
    _unit_state_run.stopped(made.unit(), "signal", "TERM")
    assert made.wrote == [checkpoint_argv(), STOP]
    assert last().action == "clean_stop"


def test_a_dump_that_fills_the_disk_is_not_repeated(machine: Any) -> None:
    made = machine()
    made.world.process(pid_of("running"), [LABEL] * 4)
    made.knows("running")
    full = "Error: write /var/lib/containers/storage/x: no space left on device"
    made.script(Write(checkpoint_argv(), rc=125, err=full), Write(STOP))
    _unit_state_run.stop(made.unit())
    assert made.wrote == [checkpoint_argv(), STOP], "a second dump would take the room that the stop needs"
    assert (last().action, last().reason) == ("clean_stop", "disk_full")


def test_container_that_ended_by_itself_makes_the_unit_fail(machine: Any) -> None:
    made = machine()
    made.knows("after-disk-full")
    with pytest.raises(CheckpointError) as caught:
        _unit_state_run.stopped(made.unit(), "success", "137")
    assert "ended on its own with status 137" in caught.value.message


def test_mistake_of_the_program_does_not_lose_the_state(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = machine()
    made.world.process(pid_of("running"), [LABEL] * 4)
    made.knows("running", "checkpointed")
    made.script(dumps(made))
    monkeypatch.setattr(stopping, "make", None)
    _unit_state_run.stop(made.unit())
    assert made.wrote == [checkpoint_argv()], "podman dumps it without a record"
    assert last().action == "dumped"
    assert "an error in the collection" in made.said[0][1]


def test_only_the_newest_unusable_checkpoints_are_kept(machine: Any) -> None:
    made = machine()
    base = made.folder / "var/lib/criu-hosts/aside/web"
    for number in range(5):
        (base / f"2026-01-0{number + 1}T000000Z-1").mkdir(parents=True)
    made.checkpointed()
    made.knows("after-disk-full")
    made.script(broken(made), Write(START, turns=True))
    _unit_state_run.start(made.unit())
    names = sorted(path.name for path in base.iterdir())
    assert len(names) == 3 and names[:2] == ["2026-01-04T000000Z-1", "2026-01-05T000000Z-1"]


def test_images_that_are_not_there_have_no_size() -> None:
    assert folder_bytes("/nowhere") == 0


def test_what_the_unit_and_the_container_share() -> None:
    lines = stateful_service("web", 20)
    assert f"PIDFile={pid_file('web')}" in lines
    assert f"--conmon-pidfile={pid_file('web')}" in stateful_create("web")
    assert "SuccessExitStatus=1 137 143" in lines
    assert str(FAILED) not in "1 137 143".split()
    assert "--annotation=org.systemd.property.Before=['web.service']" in stateful_create("web")


def test_program_speaks_to_systemd_and_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        main.notify("STATUS=x")
        assert listener.recv(99) == b"STATUS=x"
        main.say("err", "one\ntwo")
        assert listener.recv(99) == b"STATUS=one two"
    assert capsys.readouterr().err == "<3>one two\n"
    main.notify("STATUS=x")
    assert capsys.readouterr().err.startswith("<5>Cannot notify systemd: ")


def test_program_refuses_other_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["p", "reload", "web"]) == 2
    assert "start|stop|stopped NAME" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["start", "stop", "stopped"])
def test_program_tells_a_failure_in_one_line(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = (Paths(str(tmp_path)), 1000)
    monkeypatch.setattr(main, "Context", lambda *known: Context(*known, *there))
    assert main.main(["p", action, "web"]) == 3
    assert capsys.readouterr().err.startswith("<3>Cannot start or stop the unit 'web.service': ")


@pytest.mark.parametrize("digest", ["d1", "former", "other", ""])
def test_a_container_is_known_by_its_digest_or_by_that_of_an_earlier_release(digest: str) -> None:
    box = container(labels={"criu.hosts.digest": digest})
    assert is_same(spec(former_digest="former"), box) is (digest in ("d1", "former"))
    assert is_same(spec(former_digest=""), box) is (digest == "d1")


def test_an_unfinished_mark_of_a_killed_stop_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "pages-1.img").write_bytes(b"12345")
    for mark in ("criu-hosts-stop.json", ".criu-hosts-stop.json.criu-hosts"):
        (tmp_path / mark).write_text("{}")
    assert images_bytes(str(tmp_path)) == 5
