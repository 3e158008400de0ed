# SPDX-License-Identifier: GPL-3.0-or-later
"""container_checkpoint with create_image and container_restore with image: made, restored, refused, killed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._store.image_record import image_record_path, temporary_path
from ansible_collections.criu.hosts.tests.unit.containers import ID, LABEL, OFF, ON
from ansible_collections.criu.hosts.tests.unit.images_host import IMAGE, NOTE, STORAGE, ImagesHost, images_host
from ansible_collections.criu.hosts.tests.unit.killed import Killed, give_markers_away, kill_after
from ansible_collections.criu.hosts.tests.unit.plugins.module_utils._engines.podman.test_consistency import tar
from ansible_collections.criu.hosts.tests.unit.podman_host import (
    Box,
    left_over,
)
from ansible_collections.criu.hosts.tests.unit.trusted import write_policy

LEFT_RUNNING = Path(__file__).parents[2] / "fixtures/criu/4.2.1-leave-running"
FOREIGN = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"
MAKE = {"name": "web", "create_image": IMAGE}
RESTORE = {"name": "web", "image": IMAGE}


def runs(folder: Path, **known: Any) -> ImagesHost:
    host = images_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z", **known))
    return host


def made(module: Any, folder: Path, **options: Any) -> ImagesHost:
    host = runs(folder)
    result = module("container_checkpoint", {**MAKE, **options}, host=host).result
    assert result["changed"], result
    return host


def gone(module: Any, folder: Path) -> ImagesHost:
    """The container is only in the image."""
    host = made(module, folder)
    host.drop_container("web")
    return host


def record(host: ImagesHost) -> Path:
    return Path(image_record_path(host.world.paths, IMAGE))


def test_an_image_has_a_record_with_every_thread_and_is_current_then(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    predicted = module("container_checkpoint", MAKE, host=host, check=True).result
    result = module("container_checkpoint", MAKE, host=host).result
    folder = temporary_path(host.world.paths, IMAGE)
    argv = ["env", f"TMPDIR={folder}", "podman", "--runtime", "runc", "container", "checkpoint", "--print-stats"]
    assert result["commands"] == predicted["commands"] == [[*argv, f"--create-image={IMAGE}", "web"]]
    shown, known = result["checkpoint"], json.loads(record(host).read_text())
    assert (shown["image"], shown["image_id"], shown["container_state"]) == (IMAGE, host.commits[0], "exited")
    assert known["sha256"] == host.commits[0] and [one["label"] for one in known["labels"]] == [LABEL] * 4
    assert stat.S_IMODE(record(host).stat().st_mode) == 0o600 and not os.path.lexists(folder)
    assert result["statistics"]["written_pages"]
    again = module("container_checkpoint", MAKE, host=host).result
    assert not again["changed"] and again["checkpoint"]["image_id"] == host.commits[0]


def test_a_name_without_a_tag_is_the_latest(module: Any, tmp_path: Path) -> None:
    host = made(module, tmp_path, create_image="localhost/checkpoints/web")
    assert host.named(IMAGE) is not None


def test_the_image_of_an_earlier_run_is_replaced_and_removed_then(module: Any, tmp_path: Path) -> None:
    host = made(module, tmp_path, leave_running=True)
    assert not module("container_checkpoint", {**MAKE, "leave_running": True}, host=host).result["changed"]
    assert list(host.folder(host.boxes["web"]).glob("checkpoint")) == []
    host.boxes["web"].restored = "2026-11-28T09:00:00Z"
    result = module("container_checkpoint", MAKE, host=host).result
    assert result["changed"] and ["podman", "image", "rm", host.commits[0]] in result["commands"]
    assert [one["id"] for one in host.images if one["id"] in host.commits] == host.commits[1:]


def test_an_old_image_keeps_its_other_names(module: Any, tmp_path: Path) -> None:
    host = made(module, tmp_path, leave_running=True)
    rows = host.images
    rows[-1]["names"].append("localhost/checkpoints/web:kept")
    host.images_file.write_text(json.dumps(rows))
    assert module("container_checkpoint", {**MAKE, "when": "always"}, host=host).result["changed"]
    assert host.named("localhost/checkpoints/web:kept")["id"] == host.commits[0]  # type: ignore[index]


def test_an_image_that_others_have_made_is_never_replaced(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    host.add_image(IMAGE, ID, "web")
    for check in (True, False):
        result = module("container_checkpoint", MAKE, host=host, check=check).result
        assert result["reason"] == "image_exists" and "no record" in result["msg"]
    host = made(module, tmp_path / "b")
    host.run_box(Box("b" * 64, "other"))
    result = module("container_checkpoint", {**MAKE, "name": "other"}, host=host).result
    assert result["reason"] == "image_exists" and "holds container 'web'" in result["msg"]
    assert host.boxes["other"].status == "running" and host.named(IMAGE)["id"] == host.commits[0]  # type: ignore[index]


def test_a_commit_that_fails_brings_the_container_back(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    host.fails.add("commit")
    result = module("container_checkpoint", MAKE, host=host).result
    assert result["reason"] == "disk_full" and result["container_state"] == "running"
    assert host.boxes["web"].status == "running" and list(left_over(tmp_path)) == []
    assert not os.path.lexists(temporary_path(host.world.paths, IMAGE)) and not record(host).exists()


def test_an_image_whose_files_are_newer_than_its_memory_is_removed(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)

    def write(box: Box) -> None:
        for image in LEFT_RUNNING.iterdir():
            shutil.copy(image, host.folder(box) / "checkpoint" / image.name)

    host.after = write
    host.files = {"rootfs-diff.tar": tar({"app.log": 5})}
    result = module("container_checkpoint", {**MAKE, "leave_running": True}, host=host).result
    assert result["reason"] == "archive_inconsistent" and "'/app.log'" in result["msg"], result
    assert host.named(IMAGE) is None and host.boxes["web"].status == "running"
    assert not (host.folder(host.boxes["web"]) / "checkpoint").exists() and not record(host).exists()


@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        pytest.param({"create_image": "web"}, "option_invalid", "not the full name", id="short-name"),
        pytest.param({"create_image": "localhost/a@sha256:0"}, "option_invalid", "not the full name", id="digest"),
        pytest.param({"create_image": f"localhost/{'a' * 200}"}, "option_invalid", "not the full name", id="too-long"),
        pytest.param({**MAKE, "ignore_rootfs": True}, "option_invalid", "all of a container", id="ignore-rootfs"),
        pytest.param({**MAKE, "ignore_volumes": True}, "option_invalid", "all of a container", id="ignore-volumes"),
        pytest.param({**MAKE, "encrypt_to": ["age1x"]}, "option_invalid", "an image cannot be", id="encrypted"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_refused_before_anything_is_looked_at(
    module: Any, tmp_path: Path, options: dict[str, Any], reason: str, words: str, check: bool
) -> None:
    host = runs(tmp_path)
    result = module("container_checkpoint", {"name": "web", **options}, host=host, check=check).result
    assert result["reason"] == reason and words in result["msg"] and host.ran == []


@pytest.mark.parametrize(("task", "params"), [("container_checkpoint", MAKE), ("container_restore", RESTORE)])
@pytest.mark.parametrize("check", [True, False])
def test_podman_before_4_1_has_no_images(
    module: Any, tmp_path: Path, task: str, params: dict[str, Any], check: bool
) -> None:
    host = runs(tmp_path)
    host.version = "4.0.3"
    result = module(task, params, host=host, check=check).result
    assert result["reason"] == "ability_missing" and "podman 4.1 and newer" in result["msg"]
    assert host.ran == [["podman", "--version"]]


def test_a_container_of_rm_has_no_image(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path, auto_remove=True)
    result = module("container_checkpoint", MAKE, host=host).result
    assert result["reason"] == "auto_remove" and "to the image" in result["msg"] and host.wrote == []


def test_restore_from_the_image_proves_every_label_and_is_done_then(module: Any, tmp_path: Path) -> None:
    host = gone(module, tmp_path)
    predicted = module("container_restore", RESTORE, host=host, check=True).result
    result = module("container_restore", RESTORE, host=host).result
    argv = ["podman", "--runtime", "runc", "container", "restore", "--print-stats", host.commits[0]]
    assert result["commands"] == predicted["commands"] == [ON, argv, OFF]
    assert result["label_proof"] == "enforcing" and result["labels"][0]["tids"] == ["1", "6", "7", "8"]
    assert (result["restore"]["source"], result["restore"]["image"]) == ("image", IMAGE)
    assert not module("container_restore", RESTORE, host=host).result["changed"]
    assert host.named(IMAGE) is not None and list(left_over(tmp_path)) == []


def test_a_clone_of_the_image_is_known_by_its_note(module: Any, tmp_path: Path) -> None:
    host, params = made(module, tmp_path), {**RESTORE, "new_name": "web2", "shared_categories": "accept"}
    result = module("container_restore", params, host=host).result
    assert result["changed"] and result["commands"][1][-2:] == ["--name=web2", host.commits[0]], result
    assert not module("container_restore", params, host=host).result["changed"]


def test_the_container_that_is_stopped_in_that_checkpoint_is_restored_in_place(module: Any, tmp_path: Path) -> None:
    host = made(module, tmp_path)
    result = module("container_restore", RESTORE, host=host).result
    assert result["restore"]["source"] == "container" and host.boxes["web"].status == "running"


def test_a_wrong_label_removes_the_container_and_keeps_the_image(module: Any, tmp_path: Path) -> None:
    host = gone(module, tmp_path)
    host.label = FOREIGN
    result = module("container_restore", RESTORE, host=host).result
    assert result["reason"] == "label_changed" and "the image is kept" in result["msg"]
    assert "web" not in host.boxes and host.named(IMAGE) is not None


def test_a_failed_restore_keeps_the_image(module: Any, tmp_path: Path) -> None:
    host = gone(module, tmp_path)
    host.fails.add("import")
    result = module("container_restore", RESTORE, host=host).result
    assert result["failed"] and "The image is unchanged." in result["msg"]
    assert "web" not in host.boxes and host.named(IMAGE) is not None and list(left_over(tmp_path)) == []


def test_an_image_without_a_record_is_compared_with_the_label_of_the_container(module: Any, tmp_path: Path) -> None:
    host = images_host(tmp_path)
    host.add_image(IMAGE, ID, "web")
    host.label = "system_u:system_r:container_t:s0:c66,c495"
    result = module("container_restore", RESTORE, host=host).result
    assert result["changed"] and result["label_proof"] == "enforcing", result


def test_a_record_of_an_earlier_image_of_that_name_does_not_count(module: Any, tmp_path: Path) -> None:
    host = gone(module, tmp_path)
    host.add_image(IMAGE, "c" * 64, "web")
    host.label = "system_u:system_r:container_t:s0:c66,c495"
    result = module("container_restore", RESTORE, host=host).result
    assert result["changed"] and result["labels"][0]["before"] == host.label, result


def break_notes(host: ImagesHost) -> None:
    rows = host.images
    rows[-1]["notes"] = {}
    host.images_file.write_text(json.dumps(rows))


def break_config(host: ImagesHost) -> None:
    config = host.layer(host.images[-1]) / "config.dump"
    config.unlink()
    config.symlink_to("/etc/passwd")


def break_inventory(host: ImagesHost) -> None:
    (host.layer(host.images[-1]) / "checkpoint/inventory.img").unlink()


def break_record(host: ImagesHost) -> None:
    record(host).write_text("{}")


def name_a_runtime(host: ImagesHost) -> None:
    rows = host.images
    rows[-1]["notes"][f"{NOTE}runtime.name"] = "evil"
    host.images_file.write_text(json.dumps(rows))


def rename_it(host: ImagesHost) -> None:
    config = host.layer(host.images[-1]) / "config.dump"
    config.write_text(config.read_text().replace('"name": "web"', '"name": "other"'))
    record(host).unlink()


@pytest.mark.parametrize(
    ("harm", "reason", "words"),
    [
        pytest.param(break_notes, "archive_invalid", "no annotation of a checkpoint", id="no-checkpoint"),
        pytest.param(break_config, "archive_invalid", "symbolic links", id="link"),
        pytest.param(break_inventory, "archive_invalid", "it has no checkpoint", id="no-images"),
        pytest.param(break_record, "archive_invalid", "its record", id="record"),
        pytest.param(name_a_runtime, "archive_invalid", "'evil' is none that podman knows", id="runtime"),
        pytest.param(rename_it, "archive_mismatch", "holds container 'other'", id="other-container"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_an_image_that_cannot_be_restored_is_refused(
    module: Any, tmp_path: Path, harm: Any, reason: str, words: str, check: bool
) -> None:
    host = gone(module, tmp_path)
    harm(host)
    before = len(host.wrote)
    result = module("container_restore", RESTORE, host=host, check=check).result
    assert result["reason"] == reason and words in result["msg"], result
    assert host.wrote[before:] == []


def test_what_would_fail_is_said_at_once(module: Any, tmp_path: Path) -> None:
    host = gone(module, tmp_path)
    host.images_file.write_text(json.dumps([one for one in host.images if one["id"] in host.commits]))
    rows = host.images
    rows[-1]["notes"][f"{NOTE}host.arch"] = "arm64"
    host.images_file.write_text(json.dumps(rows))
    super_command = host.run_command
    host.run_command = (
        lambda *given, **options: (  # type: ignore[method-assign]
            (1, "", "") if given[1][:3] == ["podman", "image", "exists"] else super_command(*given, **options)
        )
    )
    result = module("container_restore", RESTORE, host=host, check=True).result
    assert [one["reason"] for one in result["reasons"]] == ["architecture_mismatch", "image_missing"]


def test_there_is_no_such_image(module: Any, tmp_path: Path) -> None:
    result = module("container_restore", RESTORE, host=images_host(tmp_path)).result
    assert result["reason"] == "checkpoint_missing" and "no such image" in result["msg"]


def test_a_policy_that_wants_a_signature_refuses_every_image(module: Any, tmp_path: Path) -> None:
    host = gone(module, tmp_path)
    write_policy(tmp_path, signers=["ops"])
    result = module("container_restore", RESTORE, host=host).result
    assert result["reason"] == "trust_refused" and result["refusals"], result


def test_the_image_is_removed_with_its_record(module: Any, tmp_path: Path) -> None:
    host, params = made(module, tmp_path), {**MAKE, "state": "absent"}
    other = module("container_checkpoint", {**params, "name": "other"}, host=host).result
    assert other["reason"] == "archive_mismatch" and host.named(IMAGE) is not None
    plain = module("container_checkpoint", {**params, "create_image": "localhost/w"}, host=host).result
    assert plain["reason"] == "archive_mismatch" and "holds no checkpoint" in plain["msg"]
    predicted = module("container_checkpoint", params, host=host, check=True).result
    result = module("container_checkpoint", params, host=host).result
    assert result["commands"] == predicted["commands"] == [["podman", "image", "rm", IMAGE]]
    assert host.named(IMAGE) is None and not record(host).exists()
    assert not module("container_checkpoint", params, host=host).result["changed"]


def leftover(host: ImagesHost, identity: str, **files: str) -> None:
    """A working container of buildah, which a killed podman has left."""
    listed = host.world.folder / STORAGE / "overlay-containers/volatile-containers.json"
    rows = json.loads(listed.read_text()) if listed.exists() else []
    rows.append({"id": identity, "names": ["working-container"], "layer": identity, "created": "2099-01-01T00:00:00Z"})
    listed.write_text(json.dumps(rows))
    folder = host.world.folder / STORAGE / f"overlay/{identity}/diff"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1) if name == "config_dump" else folder / "devshm-checkpoint.tar").write_text(
            text
        )


def test_what_a_killed_podman_has_left_is_removed(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, 4)  # the note is written
        with pytest.raises(Killed):
            module("container_checkpoint", MAKE, host=host)
    give_markers_away(tmp_path)
    leftover(host, "1" * 64, config_dump=json.dumps({"id": ID, "name": "web"}))
    leftover(host, "2" * 64, devshm="memory")
    leftover(host, "3" * 64, config_dump=json.dumps({"id": "d" * 64, "name": "other"}))
    leftover(host, "4" * 64)
    result = module("container_checkpoint", MAKE, host=host, check=True).result
    removed = [argv[-1] for argv in result["commands"] if argv[:2] == ["podman", "rm"]]
    assert removed == ["1" * 64, "2" * 64]


WALKS = {
    "make": ({}, MAKE, {}, MAKE),
    "make-live": ({}, {**MAKE, "leave_running": True}, {}, {**MAKE, "leave_running": True}),
    "make-over-old": ({"old": True}, MAKE, {}, MAKE),
    "make-then-dump": ({}, MAKE, {}, {"name": "web"}),
    "make-fails": ({"fails": "commit"}, MAKE, {}, MAKE),
    "make-then-absent": ({}, {**MAKE, "leave_running": True}, {}, {**MAKE, "state": "absent"}),
}


def start(module: Any, folder: Path, old: bool = False, fails: str = "") -> ImagesHost:
    host = runs(folder)
    if old:
        assert module("container_checkpoint", {**MAKE, "leave_running": True}, host=host).result["changed"]
        host.boxes["web"].restored = "2026-11-28T09:00:00Z"
    host.fails.update({fails} - {""})
    return host


def killed(module: Any, host: ImagesHost, task: str, params: dict[str, Any], steps: int) -> bool:
    try:
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, steps)
            module(task, params, host=host)
    except Killed:
        give_markers_away(host.world.folder)
        return True
    return False


def check_next(module: Any, host: ImagesHost, task: str, params: dict[str, Any], steps: int) -> dict[str, Any]:
    """The next task does what check mode has predicted, and nothing of the killed one is left."""
    predicted = module(task, params, host=host, check=True).result
    result: dict[str, Any] = module(task, params, host=host).result
    where = f"killed after step {steps}: {result}"
    assert not result.get("failed") and not predicted.get("failed"), where
    for key in ("changed", "commands", "diff"):
        assert predicted[key] == result[key], where
    assert list(left_over(host.world.folder)) == [], where
    assert not os.path.lexists(temporary_path(host.world.paths, IMAGE)), where
    assert all(one["names"] for one in host.images), where
    assert module(task, params, host=host).result["changed"] is False, where
    return result


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS.keys())
def test_the_next_task_completes_or_undoes_an_image(module: Any, tmp_path: Path, walk: Any) -> None:
    begins, first, dummy, then = walk
    for steps in itertools.count(1):
        folder = tmp_path / str(steps)
        folder.mkdir()
        host = start(module, folder, **begins)
        if not killed(module, host, "container_checkpoint", first, steps):
            break
        host.fails.clear()
        check_next(module, host, "container_checkpoint", then, steps)
        box = host.boxes["web"]
        assert box.status == "running" or (box.checkpointed and (record(host).exists() or "create_image" not in then))
    assert steps > 5


@pytest.mark.parametrize("new_name", [None, "web2"])
def test_the_next_task_completes_or_undoes_a_restore(module: Any, tmp_path: Path, new_name: str | None) -> None:
    params = {**RESTORE, **({"new_name": new_name} if new_name else {})}
    for steps in itertools.count(1):
        folder = tmp_path / str(steps)
        folder.mkdir()
        host = gone(module, folder)
        if not killed(module, host, "container_restore", params, steps):
            break
        check_next(module, host, "container_restore", params, steps)
        assert host.boxes[new_name or "web"].status == "running" and host.named(IMAGE) is not None
    assert steps > 5
