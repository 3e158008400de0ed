# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills a task before each step of its plan: the next task completes or undoes the work, and there are never two."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import apply
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import pid_file_path
from ansible_collections.criu.hosts.tests.unit.containers import World
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Host, Write
from ansible_collections.criu.hosts.tests.unit.killed import (
    Killed,
    Scene,
    each_kill,
    give_markers_away,
    is_killed,
    run_next,
)
from ansible_collections.criu.hosts.tests.unit.plugins.modules import test_process_checkpoint as dumps
from ansible_collections.criu.hosts.tests.unit.plugins.modules import test_process_restore as restores
from ansible_collections.criu.hosts.tests.unit.processes import PID, ProcessWorld, applied_plans

Built = tuple[dict[str, Any], Host]


def lives(folder: Path) -> bool:
    return (folder / f"proc/{PID}").exists()


def nothing_left(folder: Path) -> None:
    """Neither unfinished images, nor a note of what has begun, nor a drop-in, nor the boolean."""
    names = {path.name for path in (folder / "data").iterdir()}
    assert not names & {".web.partial", ".web.old", "..web.partial.criu"}, names
    assert not (folder / "data/.web.criu/begun.json").exists()
    assert list((folder / "run").rglob("*.begun.json")) == []
    assert list((folder / "run/systemd/system").rglob("*")) == []
    boolean = folder / "sys/fs/selinux/booleans/unconfined_dyntrans_all"
    assert not boolean.exists() or boolean.read_text() == "0 0"


def over_old_images(folder: Path) -> Built:
    arguments, host = dumps.by_pid(folder)
    made_of(folder).dumped(leave_running=True)
    return arguments, host


def made_of(folder: Path) -> ProcessWorld:
    """Returns the world in a folder that another function has made; its commands are with the other's host."""
    base, made = object.__new__(World), object.__new__(ProcessWorld)
    base.folder, base.paths, made.base = folder, PLACE.paths, base
    return made


DUMPS: dict[str, Callable[[Path], Built]] = {
    "plain": dumps.by_pid,
    "unit": dumps.by_unit,
    "leave-running": dumps.leave_running,
    "pre-dump": dumps.pre_dump,
    "over-old-images": over_old_images,
}
RESTORES: dict[str, Callable[[Path], Built]] = {
    "plain": restores.plain,
    "unit": restores.into_unit,
    "without-selinux": restores.without_selinux,
    "without-record": restores.without_record,
}


def again(task: str, build: Callable[[Path], Built], folder: Path) -> Scene:
    """The next task is the same."""
    arguments, host = build(folder)
    return Scene(folder, host, (task, arguments), (task, arguments))


@pytest.mark.parametrize("case", DUMPS)
def test_a_killed_checkpoint_is_completed_or_undone(module: Any, tmp_path: Path, case: str) -> None:
    steps = 0
    for steps, scene in each_kill(module, tmp_path, partial(again, "process_checkpoint", DUMPS[case])):
        folder = scene.folder
        lived = lives(folder)
        assert lived or any((folder / f"data/{name}/pstree.img").exists() for name in ("web", ".web.partial"))
        run_next(module, scene)
        record = json.loads((folder / "data/web/criu-hosts.json").read_text())
        assert (record["pid"], record["start"]) == (PID, "8421")
        assert len(record["inventory"]) == 64
        nothing_left(folder)
        dumped = [argv for argv in scene.host.wrote if "dump" in argv or "pre-dump" in argv]
        assert len(dumped) == 1 or lived, steps
    assert steps > 6


@pytest.mark.parametrize("case", RESTORES)
def test_a_killed_restore_is_completed_and_makes_no_second_copy(module: Any, tmp_path: Path, case: str) -> None:
    steps = 0
    for steps, scene in each_kill(module, tmp_path, partial(again, "process_restore", RESTORES[case])):
        run_next(module, scene)
        assert lives(scene.folder)
        nothing_left(scene.folder)
        came = [argv for argv in scene.host.wrote if "restore" in argv or argv[:2] == ["systemctl", "start"]]
        assert len(came) == 1, (steps, came)
        note = json.loads((scene.folder / "data/.web.criu/restored.json").read_text())
        assert (note["pid"], note["start"]) == (PID, "9000")
    assert steps > 8


def test_a_killed_removal_is_completed(module: Any, tmp_path: Path) -> None:
    steps = 0
    for steps, scene in each_kill(module, tmp_path, partial(again, "process_checkpoint", dumps.removed)):
        run_next(module, scene)
        assert list((scene.folder / "data").iterdir()) == [], steps
    assert steps > 2


def cut_off_dump(folder: Path, module: Any, monkeypatch: pytest.MonkeyPatch) -> Built:
    """The task is killed when CRIU has ended the process and the images have no record yet."""
    built = dumps.by_pid(folder)
    with monkeypatch.context() as patch:
        real = apply.apply_step

        def step(runner: Any, one: Any, applied: Any) -> None:
            if getattr(one, "path", "").endswith(".partial/criu-hosts.json"):
                raise Killed
            real(runner, one, applied)

        patch.setattr(apply, "apply_step", step)
        with pytest.raises(Killed):
            module("process_checkpoint", built[0], host=built[1])
    assert not lives(folder) and (folder / "data/.web.partial/pstree.img").exists()
    return built


def works(folder: Path, images: str, *words: str, uid: int = 0) -> None:
    """CRIU works on images although its task and the guardian are gone, as after 'pkill -9 python3'."""
    place = folder / "proc/777"
    place.mkdir()
    (place / "cmdline").write_bytes(b"\0".join(map(os.fsencode, ("criu", *words, "--images-dir", images, ""))))
    os.chown(place, uid, uid)


@pytest.mark.parametrize("task", ["process_checkpoint", "process_restore"])
def test_images_on_which_criu_still_works_are_not_touched(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    arguments, host = cut_off_dump(tmp_path, module, monkeypatch)
    arguments = arguments if task == "process_checkpoint" else {"images_path": arguments["images_path"]}
    works(tmp_path, str(tmp_path / "data/.web.partial"), "dump", "--tree", str(PID))
    before = made_of(tmp_path).content()
    for check in (True, False):
        ran = module(task, arguments, host=host, check=check).result
        assert ran["reason"] == "busy" and "CRIU (process 777) still does so" in ran["msg"], ran
    assert made_of(tmp_path).content() == before


def test_a_restore_at_which_criu_still_works_is_not_repeated(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before CRIU has written the pid, nothing else shows that a copy comes."""
    arguments, host = restores.plain(tmp_path)
    real = apply.apply_step

    def step(runner: Any, one: Any, applied: Any) -> None:
        if "restore" in getattr(one, "argv", ()):
            raise Killed
        real(runner, one, applied)

    with monkeypatch.context() as patch:
        patch.setattr(apply, "apply_step", step)
        with pytest.raises(Killed):
            module("process_restore", arguments, host=host)
    give_markers_away(tmp_path)
    works(tmp_path, arguments["images_path"], "restore")
    assert module("process_restore", arguments, host=host).result["reason"] == "busy"
    shutil.rmtree(tmp_path / "proc/777")
    assert module("process_restore", arguments, host=host).result["changed"] is True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a process of another user")
def test_the_arguments_of_a_process_of_another_user_do_not_count(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, host = cut_off_dump(tmp_path, module, monkeypatch)
    works(tmp_path, str(tmp_path / "data/.web.partial"), "dump", uid=1000)
    assert "was completed in" in str(module("process_checkpoint", arguments, host=host).result["warnings"])


def test_a_cut_off_dump_is_completed_and_the_task_says_so(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, host = cut_off_dump(tmp_path, module, monkeypatch)
    ran = module("process_checkpoint", arguments, host=host)
    assert "was completed in" in str(ran.result["warnings"])
    assert ran.result["checkpoint"]["process_state"] == "absent"


def test_a_restore_completes_a_cut_off_dump_first(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, host = cut_off_dump(tmp_path, module, monkeypatch)
    host.replies = [*host.replies, made_of(tmp_path).restores()]
    checked = module("process_restore", {"images_path": arguments["images_path"]}, host=host, check=True)
    ran = module("process_restore", {"images_path": arguments["images_path"]}, host=host)
    assert ran.result["label_proof"] == "enforcing", ran.result
    assert checked.result["commands"] == ran.result["commands"]
    nothing_left(tmp_path)


def test_absent_does_not_remove_the_only_copy_without_a_word(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, host = cut_off_dump(tmp_path, module, monkeypatch)
    absent = {"images_path": arguments["images_path"], "state": "absent"}
    checked = module("process_checkpoint", absent, host=host, check=True)
    ran = module("process_checkpoint", absent, host=host)
    assert checked.result["reason"] == ran.result["reason"] == "images_partial"
    assert (tmp_path / "data/web/pstree.img").exists()
    assert module("process_checkpoint", absent, host=host).result["changed"] is True
    assert list((tmp_path / "data").iterdir()) == []


def cut_off_restore(folder: Path, module: Any, monkeypatch: pytest.MonkeyPatch, built: Built) -> None:
    """The task is killed when the process has been restored, before it is proved."""
    with monkeypatch.context() as patch:
        real = apply.apply_step

        def step(runner: Any, one: Any, applied: Any) -> None:
            if one.why == "compare the labels":
                raise Killed
            real(runner, one, applied)

        patch.setattr(apply, "apply_step", step)
        with pytest.raises(Killed):
            module("process_restore", built[0], host=built[1])
    assert lives(folder)


def test_a_wrong_label_after_a_cut_off_restore_ends_the_process(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, host = restores.label_mismatch(tmp_path)
    cut_off_restore(tmp_path, module, monkeypatch, (arguments, host))
    ran = module("process_restore", arguments, host=host)
    assert ran.result["reason"] == "label_changed"
    assert not lives(tmp_path)
    assert (tmp_path / "data/web/pstree.img").exists()


def test_a_checkpoint_proves_what_a_killed_restore_left(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, host = restores.plain(tmp_path)
    cut_off_restore(tmp_path, module, monkeypatch, (arguments, host))
    made = made_of(tmp_path)
    host.replies = [*host.replies, made.dump()]
    ran = module("process_checkpoint", {"images_path": arguments["images_path"], "pid": PID}, host=host)
    assert not ran.failed, ran.result
    assert "was completed: it is running." in str(ran.result["warnings"])
    nothing_left(tmp_path)


def test_a_copy_of_the_images_is_not_restored_beside_the_original(module: Any, tmp_path: Path) -> None:
    arguments, host = restores.plain(tmp_path)
    module("process_restore", arguments, host=host)
    copy = tmp_path / "data/copy"
    shutil.copytree(tmp_path / "data/web", copy)
    ran = module("process_restore", {"images_path": str(copy)}, host=host)
    assert (ran.result["reason"], ran.result["pid"]) == ("process_running", PID)
    assert str(tmp_path / "data/web") in ran.result["msg"]


def test_a_copy_of_the_images_sees_an_unproved_restore(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = restores.plain(tmp_path)
    cut_off_restore(tmp_path, module, monkeypatch, built)
    copy = tmp_path / "data/copy"
    shutil.copytree(tmp_path / "data/web", copy)
    ran = module("process_restore", {"images_path": str(copy)}, host=built[1])
    assert (ran.result["reason"], ran.result["pid"]) == ("process_running", PID)


def test_a_full_disk_after_the_restore_leaves_the_process_and_no_second_copy(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, host = restores.plain(tmp_path)
    real = apply.write_file

    def full(path: str, content: Any, mode: int) -> None:
        if path.endswith("restored.json"):
            raise OSError(28, "No space left on device", path)
        real(path, content, mode)

    with monkeypatch.context() as patch:
        patch.setattr(apply, "write_file", full)
        ran = module("process_restore", arguments, host=host)
    assert ran.result["reason"] == "disk_full"
    assert f"The restored process {PID} ('python3') is running. Run this task again" in ran.result["msg"]
    assert host.killed == []
    again = module("process_restore", arguments, host=host)
    assert not again.failed, again.result
    assert len([argv for argv in host.wrote if "restore" in argv]) == 1
    nothing_left(tmp_path)


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of the dump cannot be written."""
    real = apply.write_file

    def write(path: str, content: Any, mode: int) -> None:
        if path.endswith(".partial/criu-hosts.json"):
            raise OSError(28, "No space left on device", path)
        real(path, content, mode)

    monkeypatch.setattr(apply, "write_file", write)


def on_a_full_disk(folder: Path) -> Built:
    """CRIU ends the process, its record cannot be written, and the process is brought back."""
    arguments, host = dumps.by_pid(folder)
    made = made_of(folder)
    partial = folder / "data/.web.partial"
    pid_file = Path(pid_file_path(PLACE.paths, str(partial)))
    argv = made.restore_argv()
    argv[argv.index("--images-dir") + 1] = str(partial)
    argv[argv.index("--work-dir") + 1] = str(folder / "data/..web.partial.criu")
    argv[argv.index("--pidfile") + 1] = str(pid_file)

    def back() -> None:
        assert not lives(folder), "two copies"
        made.process(start=9000)
        pid_file.write_text(f"{PID}\n")

    host.replies = [*host.replies, Write(argv, effect=back)]
    return arguments, host


def test_a_process_that_a_killed_task_brings_back_is_never_two(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    with monkeypatch.context() as patch:
        full_disk(patch)
        plans = applied_plans(patch)
        arguments, host = on_a_full_disk(first)
        failed = module("process_checkpoint", arguments, host=host)
    assert (failed.result["reason"], failed.result["process_state"]) == ("disk_full", "running")
    nothing_left(first)
    for number in range(sum(len(plan.steps) for plan in plans)):
        folder = tmp_path / str(number)
        folder.mkdir()
        scene = again("process_checkpoint", on_a_full_disk, folder)
        with monkeypatch.context() as patch:
            full_disk(patch)
            if not is_killed(module, scene, number):
                continue
        lived = lives(folder)
        assert lived or any((folder / f"data/{name}/pstree.img").exists() for name in ("web", ".web.partial"))
        ran = module("process_checkpoint", scene.task[1], host=scene.host)
        assert not ran.failed, (number, ran.result)
        assert not lives(folder) and (folder / "data/web/pstree.img").exists()
        nothing_left(folder)
