# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-checkpoints and the checkpoints that are made on them, on a host whose podman keeps state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored, list_stored
from ansible_collections.criu.hosts.tests.unit.containers import ID, checkpoint_argv
from ansible_collections.criu.hosts.tests.unit.harness import ModuleRun, Reply
from ansible_collections.criu.hosts.tests.unit.podman_host import Box, PodmanHost, left_over, podman_host

ARCHIVE = "archive.tar.zst"
PRE: dict[str, Any] = {"pre_checkpoint": True}
WITH: dict[str, Any] = {"with_previous": True}
LIVE: dict[str, Any] = {"leave_running": True}
PLACES = ("place", "archive", "store")
NO_TRACKING = Path(__file__).parents[2] / "fixtures/criu/4.2.1-check-no-soft-dirty.stderr.txt"


def runs(folder: Path, **known: Any) -> PodmanHost:
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z", **known))
    return host


def where(folder: Path, place: str, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a place: an archive of a pre-checkpoint has a name of its own."""
    if place == "store":
        return {"store": str(folder / "store")}
    name = "pre.tar.zst" if options.get("pre_checkpoint") else "web.tar.zst"
    return {"archive_path": str(folder / "archives" / name)} if place == "archive" else {}


def task(module: Any, host: PodmanHost, name: str, place: str, **options: Any) -> dict[str, Any]:
    """Runs a task in check mode and for real, which have to agree; returns the result of the real one."""
    params = {"name": "web", **where(host.world.folder, place, options), **options}
    wrote = len(host.wrote)
    predicted: ModuleRun = module(name, params, host=host, check=True)
    assert len(host.wrote) == wrote
    real: dict[str, Any] = module(name, params, host=host).result
    for key in ("changed", "commands", "diff", "reason", "failed"):
        assert predicted.result.get(key) == real.get(key), key
    assert list(left_over(host.world.folder)) == []
    return real


def checkpoint(module: Any, host: PodmanHost, place: str, **options: Any) -> dict[str, Any]:
    return task(module, host, "container_checkpoint", place, **options)


def restore(module: Any, host: PodmanHost, place: str, **options: Any) -> dict[str, Any]:
    return task(module, host, "container_restore", place, **options)


def stored(folder: Path) -> list[Stored]:
    return list_stored(str(folder / "store"))


def images(host: PodmanHost) -> Path:
    return host.folder(host.boxes["web"]) / "pre-checkpoint"


def chained(module: Any, folder: Path, place: str, **options: Any) -> PodmanHost:
    """The container is stopped in a checkpoint that was made on a pre-checkpoint."""
    host = runs(folder)
    assert checkpoint(module, host, place, **PRE)["changed"]
    assert checkpoint(module, host, place, **WITH, **options)["changed"]
    return host


@pytest.mark.parametrize("place", PLACES)
def test_a_chain_from_the_first_dump_to_the_restore(module: Any, tmp_path: Path, place: str) -> None:
    host = runs(tmp_path)
    first = checkpoint(module, host, place, **PRE)
    assert first["changed"] and first["checkpoint"]["container_state"] == "running"
    assert first["checkpoint"]["pre_checkpoint"] is True and first["checkpoint"]["parent"] is None
    assert "--pre-checkpoint" in first["commands"][0] and host.boxes["web"].status == "running"
    assert {one.name for one in images(host).parent.iterdir()} == {"pidfile", "pre-checkpoint"}
    assert first["statistics"]["written_pages"] > 0
    assert checkpoint(module, host, place, **PRE)["changed"] is False
    second = checkpoint(module, host, place, **WITH)
    assert second["changed"] and "--with-previous" in second["commands"][0] and host.boxes["web"].status == "exited"
    assert second["checkpoint"]["pre_checkpoint"] is False
    assert second["checkpoint"]["parent"] == first["checkpoint"]["archive_path"]
    for options in (WITH, PRE):
        assert checkpoint(module, host, place, **options)["changed"] is False
    if place != "place":
        host.drop(host.boxes["web"])
        for options in (WITH, PRE):
            assert checkpoint(module, host, place, **options)["changed"] is False
    back = restore(module, host, place)
    assert back["changed"] and host.boxes["web"].status == "running"
    used = [word for argv in back["commands"] for word in argv if word.startswith("--import-previous=")]
    assert used == ([] if place == "place" else [f"--import-previous={first['checkpoint']['archive_path']}"])
    assert restore(module, host, place)["changed"] is False
    # It is a new run of the container.
    assert checkpoint(module, host, "place", **WITH)["reason"] == "parent_missing"


@pytest.mark.parametrize("place", PLACES)
def test_a_container_that_runs_on(module: Any, tmp_path: Path, place: str) -> None:
    """The images of the pre-checkpoint are used up: a second dump on them would lack memory."""
    host = chained(module, tmp_path, place, **LIVE)
    assert host.boxes["web"].status == "running"
    for options in (PRE, {**WITH, **LIVE}):
        assert checkpoint(module, host, place, **options)["changed"] is False
    # An export leaves no images; in place they are a part of the checkpoint.
    assert images(host).exists() is (place == "place")
    if place == "store":
        refused = checkpoint(module, host, place, **WITH, **LIVE, when="always")
        assert refused["reason"] == "parent_missing" and "\n" not in refused["msg"]
        assert checkpoint(module, host, place, **PRE, when="always")["changed"]
        assert checkpoint(module, host, place, **WITH, **LIVE, when="always")["changed"]
        assert [one.pre_dump for one in stored(tmp_path)] == [False, True, False, True]
        assert all(one.fault == "" for one in stored(tmp_path))


def test_a_checkpoint_beside_it_leaves_a_pre_checkpoint_alone(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, "place", **PRE)["changed"]
    assert checkpoint(module, host, "store", **LIVE)["changed"]
    assert checkpoint(module, host, "place", **WITH)["changed"] and images(host).exists()


def test_a_newer_pre_checkpoint_replaces_the_images(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, "store", **PRE)["changed"]
    (images(host) / "pages-9.img").write_bytes(b"of a process that has ended")
    assert (
        checkpoint(module, host, "store", **PRE, when="always")["diff"]["before"]["checkpoint"] == "of an earlier task"
    )
    assert not (images(host) / "pages-9.img").exists() and len(stored(tmp_path)) == 2
    new, old = stored(tmp_path)
    assert checkpoint(module, host, "store", **WITH)["checkpoint"]["parent"] == new.part(ARCHIVE)
    assert stored(tmp_path)[0].manifest is not None and stored(tmp_path)[0].manifest.parent == new.id != old.id


def test_max_age_counts_for_pre_checkpoints(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, "store", **PRE, max_age="1h")["changed"]
    assert checkpoint(module, host, "store", **PRE, max_age="1h")["changed"] is False
    (one,) = stored(tmp_path)
    path = Path(one.part("manifest.json"))
    path.write_text(path.read_text().replace('"checkpointed_at": "20', '"checkpointed_at": "19'))
    again = checkpoint(module, host, "store", **PRE, max_age="1h")
    assert again["diff"]["before"]["checkpoint"] == "older than max_age" and len(stored(tmp_path)) == 2


@pytest.mark.parametrize("place", PLACES)
def test_another_run_of_the_container_needs_another_one(module: Any, tmp_path: Path, place: str) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, place, **PRE)["changed"]
    host.world.end(host.boxes["web"].pid)
    host.boxes["web"].restored = "2026-11-28T09:00:00Z"
    host.run_box(host.boxes["web"])
    assert checkpoint(module, host, place, **WITH)["reason"] == "parent_missing"
    assert checkpoint(module, host, place, **PRE)["changed"]
    assert checkpoint(module, host, place, **WITH)["changed"]


def test_the_store_says_what_it_is(module: Any, tmp_path: Path) -> None:
    host = chained(module, tmp_path, "store", why="before the upgrade")
    child, pre = stored(tmp_path)
    assert (pre.pre_dump, child.pre_dump) == (True, False) and child.manifest is not None and pre.manifest is not None
    assert (child.manifest.parent, pre.manifest.parent) == (pre.id, "")
    assert child.manifest.record["parent"] == f"../{pre.id}/{ARCHIVE}"
    assert child.manifest.record["parent_sha256"] == pre.manifest.record["sha256"] == pre.manifest.parts[0].sha256
    assert pre.manifest.options["pre_checkpoint"] is True and child.manifest.options["with_previous"] is True
    assert pre.manifest.record["ran_on"] is True
    listed = module("checkpoint_info", {"store": str(tmp_path / "store"), "restorable": True}, host=host).result
    shown = {one["checkpoint"]: one for one in listed["checkpoints"]}
    assert (shown[pre.id]["pre_checkpoint"], shown[child.id]["pre_checkpoint"]) == (True, False)
    assert shown[child.id]["parent"] == pre.id
    assert [one["reason"] for one in shown[pre.id]["reasons"]] == ["archive_pre_dump"]
    assert shown[child.id]["restorable"] is True, shown[child.id]["reasons"]


def test_latest_is_never_a_pre_checkpoint(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, "store", **LIVE)["changed"]
    assert checkpoint(module, host, "store", **PRE)["changed"]
    pre, whole = stored(tmp_path)
    # It does not count as the current one either.
    assert checkpoint(module, host, "store", **LIVE)["changed"] is False
    host.drop(host.boxes["web"])
    refused = restore(module, host, "store", checkpoint=pre.id)
    assert refused["reason"] == "archive_pre_dump" and "\n" not in refused["msg"] and not host.boxes
    result = restore(module, host, "store")
    assert any(whole.part(ARCHIVE) in word for argv in result["commands"] for word in argv)


def test_a_store_with_a_pre_checkpoint_only(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    checkpoint(module, host, "store", **PRE)
    host.drop(host.boxes["web"])
    assert restore(module, host, "store")["reason"] == "checkpoint_missing"
    assert checkpoint(module, host, "store", **PRE)["reason"] == "container_missing"


@pytest.mark.parametrize("how", ["gone", "cut", "changed"])
def test_a_restore_without_its_pre_checkpoint_as_it_was(module: Any, tmp_path: Path, how: str) -> None:
    host = chained(module, tmp_path, "archive")
    host.drop(host.boxes["web"])
    pre = tmp_path / "archives/pre.tar.zst"
    data = pre.read_bytes()
    pre.unlink()
    if how != "gone":
        pre.touch(mode=0o600)
        pre.write_bytes(data[:-1] if how == "cut" else b"\1" + data[1:])
    refused = restore(module, host, "archive")
    assert refused["reason"] == ("parent_missing" if how == "gone" else "parent_changed") and not host.boxes
    assert str(pre) in refused["msg"] and refused["path"] == str(pre) and "\n" not in refused["msg"]


@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_stored_one_without_its_pre_checkpoint_is_damaged(module: Any, tmp_path: Path, how: str) -> None:
    host = chained(module, tmp_path, "store")
    child, pre = stored(tmp_path)
    host.drop(host.boxes["web"])
    path = Path(pre.part(ARCHIVE))
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        for one in Path(pre.path).iterdir():
            one.unlink()
        Path(pre.path).rmdir()
    refused = restore(module, host, "store")
    assert refused["reason"] == "checkpoint_damaged" and pre.id in refused["msg"] and not host.boxes
    assert pre.id in stored(tmp_path)[0].fault and stored(tmp_path)[0].id == child.id


def test_a_stored_pre_checkpoint_that_was_changed(module: Any, tmp_path: Path) -> None:
    """Its digest is that in the record of the checkpoint that was made on it, whatever its own record says."""
    host = chained(module, tmp_path, "store")
    dummy_child, pre = stored(tmp_path)
    host.drop(host.boxes["web"])
    path = Path(pre.part(ARCHIVE))
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert restore(module, host, "store")["reason"] == "parent_changed" and not host.boxes


def test_images_in_place_without_those_that_they_are_based_on(module: Any, tmp_path: Path) -> None:
    host = chained(module, tmp_path, "place")
    for one in images(host).iterdir():
        one.unlink()
    refused = restore(module, host, "place")
    assert refused["reason"] == "parent_missing" and "\n" not in refused["msg"]
    assert host.boxes["web"].status == "exited"


def test_an_archive_without_its_record(module: Any, tmp_path: Path) -> None:
    """Its images say that memory is missing, and nothing says where that is."""
    host = chained(module, tmp_path, "archive")
    host.drop(host.boxes["web"])
    (tmp_path / "archives/web.tar.zst.json").unlink()
    refused = restore(module, host, "archive")
    assert refused["reason"] == "parent_missing" and "record" in refused["msg"] and not host.boxes


@pytest.mark.parametrize("how", ["gone", "cut", "no-record", "other"])
def test_a_checkpoint_on_an_archive_that_is_not_as_it_was(module: Any, tmp_path: Path, how: str) -> None:
    host = runs(tmp_path)
    checkpoint(module, host, "archive", **PRE)
    pre = tmp_path / "archives/pre.tar.zst"
    record = Path(f"{pre}.json")
    if how == "gone":
        pre.unlink()
    elif how == "cut":
        pre.write_bytes(pre.read_bytes()[:-1])
    elif how == "no-record":
        record.unlink()
    else:
        record.write_text(json.dumps({**json.loads(record.read_text()), "sha256": "0" * 64}))
    refused = checkpoint(module, host, "archive", **WITH)
    expected = "parent_missing" if how in ("gone", "no-record") else "parent_changed"
    assert refused["reason"] == expected and str(pre) in refused["msg"] and "\n" not in refused["msg"]
    assert host.boxes["web"].status == "running"
    assert checkpoint(module, host, "archive", **PRE)["changed"]
    assert checkpoint(module, host, "archive", **WITH)["changed"]


@pytest.mark.parametrize(
    "first, second",
    [
        ("place", {"store": "store"}),
        ("place", {"archive_path": "archives/web.tar.zst"}),
        ("archive", {"archive_path": "others/web.tar.zst"}),
        ("archive", {"archive_path": "archives/pre.tar.zst"}),
        ("archive", {"store": "store"}),
        ("store", {"store": "others"}),
        ("store", {"archive_path": "archives/web.tar.zst"}),
    ],
)
def test_both_are_kept_in_the_same_place(module: Any, tmp_path: Path, first: str, second: dict[str, str]) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, first, **PRE)["changed"]
    given = {key: str(tmp_path / value) for key, value in second.items()}
    refused = checkpoint(module, host, "place", **given, **WITH)
    assert refused["reason"] == "parent_missing" and "\n" not in refused["msg"]
    # It is as good as before.
    assert checkpoint(module, host, first, **WITH)["changed"]


def test_one_in_a_store_is_enough_for_a_checkpoint_in_place(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, "store", **PRE)["changed"]
    assert checkpoint(module, host, "place", **WITH)["changed"]
    assert checkpoint(module, host, "store", **PRE)["changed"] is False
    assert restore(module, host, "place")["changed"]


def test_an_archive_that_another_one_needs_is_not_replaced(module: Any, tmp_path: Path) -> None:
    host = chained(module, tmp_path, "archive")
    pre = str(tmp_path / "archives/pre.tar.zst")
    before = Path(pre).read_bytes()
    assert restore(module, host, "archive")["changed"]
    for options in ({**PRE}, {**LIVE, "archive_path": pre}, {"state": "absent", "archive_path": pre}):
        refused = checkpoint(module, host, "archive", **options)
        assert refused["reason"] == "checkpoint_in_use" and "web.tar.zst" in refused["msg"]
        assert Path(pre).read_bytes() == before and "\n" not in refused["msg"]
    assert checkpoint(module, host, "archive", state="absent")["changed"]
    assert checkpoint(module, host, "archive", **PRE)["changed"] and Path(pre).read_bytes() != before
    assert checkpoint(module, host, "place", archive_path=pre, state="absent")["changed"] and not Path(pre).exists()


def test_a_kept_checkpoint_in_place_goes_with_the_images_that_it_is_based_on(module: Any, tmp_path: Path) -> None:
    host = chained(module, tmp_path, "place")
    assert restore(module, host, "place", keep=True)["changed"]
    kept = host.folder(host.boxes["web"]) / "checkpoint"
    assert (kept / "parent").is_symlink() and images(host).exists()
    assert checkpoint(module, host, "place", **PRE)["changed"] and not kept.exists()
    assert checkpoint(module, host, "place", **WITH)["changed"] and (kept / "parent").is_symlink()


def test_a_whole_dump_is_based_on_nothing(module: Any, tmp_path: Path) -> None:
    """A link that an earlier dump has left would make an archive look as if it needed a second one."""
    host = chained(module, tmp_path, "place")
    assert restore(module, host, "place", keep=True)["changed"]
    assert checkpoint(module, host, "store")["changed"]
    assert not (host.folder(host.boxes["web"]) / "checkpoint/parent").is_symlink()
    host.drop(host.boxes["web"])
    assert restore(module, host, "store")["changed"]


@pytest.mark.parametrize("options", [PRE, WITH])
def test_a_kernel_that_does_not_track_memory(module: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    host = runs(tmp_path)
    argv = [str(tmp_path / "criu"), "check", "--no-default-config", "--feature", "mem_dirty_track"]
    host.replies = [Reply(argv, rc=1, err=NO_TRACKING.read_text()), *host.replies]
    refused = checkpoint(module, host, "store", **options)
    assert refused["reason"] == "memory_tracking_missing" and "CONFIG_MEM_SOFT_DIRTY" in refused["msg"]
    assert not host.wrote and not (tmp_path / "store").exists() and "\n" not in refused["msg"]


@pytest.mark.parametrize("options", [PRE, WITH])
def test_a_podman_without_it(module: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    host = runs(tmp_path)
    known = host.run_command

    def run_command(dummy_module: Any, args: Any, **more: Any) -> tuple[int, str, str]:
        return (0, "podman version 3.2.0\n", "") if args == ["podman", "--version"] else known(None, args, **more)

    host.run_command = run_command  # type: ignore[method-assign]
    refused = checkpoint(module, host, "store", **options)
    assert refused["reason"] == "ability_missing" and "3.2.1" in refused["msg"] and not host.wrote


@pytest.mark.parametrize(
    "options, option",
    [
        ({**PRE, **WITH}, "pre_checkpoint"),
        ({**PRE, "encrypt_to": ["age1x"], "store": "/s"}, "pre_checkpoint"),
        ({**WITH, "encrypt_to": ["age1x"], "store": "/s"}, "with_previous"),
        ({**WITH, "create_image": "localhost/a:b"}, "with_previous"),
        ({**PRE, "when": "always"}, "when"),
    ],
)
def test_options_that_do_not_fit(module: Any, tmp_path: Path, options: dict[str, Any], option: str) -> None:
    host = runs(tmp_path)
    refused = checkpoint(module, host, "place", **options)
    assert (refused["reason"], refused["option"]) == ("option_invalid", option) and not host.ran


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", ["dump", "export"])
def test_a_failed_pre_checkpoint_leaves_nothing(module: Any, tmp_path: Path, place: str, how: str) -> None:
    host = runs(tmp_path)
    host.fails.add("dump" if place == "place" else how)
    run = module("container_checkpoint", {"name": "web", **where(tmp_path, place, PRE), **PRE}, host=host)
    assert run.failed and run.result["container_state"] == "running" and "\n" not in run.result["msg"]
    assert not images(host).exists() and stored(tmp_path) == [] and list(left_over(tmp_path)) == []
    assert not list(tmp_path.glob("archives/*"))
    host.fails.clear()
    assert checkpoint(module, host, place, **PRE)["changed"]


@pytest.mark.parametrize("place", PLACES)
def test_a_failed_dump_has_used_the_pre_checkpoint_up(module: Any, tmp_path: Path, place: str) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, place, **PRE)["changed"]
    host.fails.add("dump")
    params = {"name": "web", **where(tmp_path, place, WITH), **WITH}
    run = module("container_checkpoint", params, host=host)
    assert run.failed and run.result["container_state"] == "running" and not images(host).exists()
    host.fails.clear()
    assert checkpoint(module, host, place, **WITH)["reason"] == "parent_missing"
    assert checkpoint(module, host, place, **PRE)["changed"]
    assert checkpoint(module, host, place, **WITH)["changed"]


def test_a_failed_export_brings_the_container_back_from_both(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, "store", **PRE)["changed"]
    host.fails.add("export")
    run = module("container_checkpoint", {"name": "web", "store": str(tmp_path / "store"), **WITH}, host=host)
    assert run.result["reason"] == "disk_full" and run.result["container_state"] == "running"
    assert not images(host).exists() and [one.pre_dump for one in stored(tmp_path)] == [True]


def test_a_damaged_record_beside_the_images_is_none(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, "place", **PRE)["changed"]
    (images(host) / "criu-hosts.json").write_text("{")
    assert checkpoint(module, host, "place", **WITH)["reason"] == "parent_missing"
    assert checkpoint(module, host, "place", **PRE)["changed"]


def test_images_that_podman_made_by_itself_are_none(module: Any, tmp_path: Path) -> None:
    """Only a record says that they are complete, and of this run."""
    host = runs(tmp_path)
    host.run_command(None, checkpoint_argv("--pre-checkpoint"))
    assert images(host).exists()
    assert checkpoint(module, host, "place", **WITH)["reason"] == "parent_missing"
    assert checkpoint(module, host, "place", state="absent")["changed"] and not images(host).exists()
