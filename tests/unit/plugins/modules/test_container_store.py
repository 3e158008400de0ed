# SPDX-License-Identifier: GPL-3.0-or-later
"""container_checkpoint and container_restore with a store, on a host whose podman keeps state."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container import export
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import hold, lock_path
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored, list_stored
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import render_manifest
from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, ModuleRun
from ansible_collections.criu.hosts.tests.unit.killed import Killed
from ansible_collections.criu.hosts.tests.unit.podman_host import Box, PodmanHost, podman_host

ARCHIVE = "archive.tar.zst"
LIVE = {"leave_running": True}


def runs(folder: Path, **known: Any) -> PodmanHost:
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z", **known))
    return host


def checkpoint(module: Any, host: PodmanHost, *, check: bool = False, **options: Any) -> ModuleRun:
    place = {} if "archive_path" in options else {"store": str(host.world.folder / "store")}
    ran: ModuleRun = module("container_checkpoint", {"name": "web", **place, **options}, host=host, check=check)
    return ran


def restore(module: Any, host: PodmanHost, **options: Any) -> dict[str, Any]:
    params = {"name": "web", "store": str(host.world.folder / "store"), **options}
    result: dict[str, Any] = module("container_restore", params, host=host).result
    return result


def stored(folder: Path) -> list[Stored]:
    return list_stored(str(folder / "store"))


def stored_once(module: Any, folder: Path) -> tuple[PodmanHost, Stored]:
    """The container was made with --rm, and is in the store only."""
    host = runs(folder, auto_remove=True)
    assert checkpoint(module, host).result["changed"]
    (one,) = stored(folder)
    return host, one


def test_a_checkpoint_has_its_manifest_and_nothing_else_is_left(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/hostname").write_text("apple\n")
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu sse2\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    library = tmp_path / f"proc/{host.boxes['web'].pid}/root/usr/lib/x86_64-linux-gnu/libc.so.6"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"\x7fELF\0GNU C Library (Debian GLIBC 2.41-12) stable release version 2.41.\nCopyright\0")
    result = checkpoint(module, host, why="before the upgrade", compression_level=5).result
    (one,) = stored(tmp_path)
    assert one.fault == "" and one.manifest is not None
    value, manifest = result["checkpoint"], one.manifest
    assert (value["store"], value["checkpoint_id"]) == (str(tmp_path / "store"), one.id)
    assert value["archive_path"] == one.part(ARCHIVE) and value["sha256"] == manifest.parts[0].sha256
    assert {path.name for path in Path(one.path).iterdir()} == {"manifest.json", ARCHIVE, f"{ARCHIVE}.json"}
    assert os.listdir(tmp_path / "store/containers/web") == [one.id]
    assert {stat.S_IMODE(path.stat().st_mode) for path in Path(one.path).iterdir()} == {0o600}
    assert {stat.S_IMODE(Path(path).stat().st_mode) for path in (tmp_path / "store", one.path)} == {0o700}
    assert (manifest.why, manifest.options["compression_level"]) == ("before the upgrade", 5) and manifest.who
    made_on = manifest.host
    assert (made_on.hostname, made_on.cpu_features, made_on.glibc) == ("apple", ("fpu", "sse2"), "2.41")
    assert (made_on.engine, made_on.engine_version, made_on.runtime_version) == ("podman", "5.4.2", "1.1.15")
    assert (made_on.lsm, made_on.lsm_mode, made_on.criu) == ("selinux", "enforcing", "4.2.1")
    assert manifest.record["labels"] and manifest.record["sha256"] == value["sha256"]


def test_a_second_run_finds_it(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    first = checkpoint(module, host).result
    again = checkpoint(module, host).result
    assert again["changed"] is False and again["checkpoint"] == first["checkpoint"]
    assert len(stored(tmp_path)) == 1


def test_check_mode_knows_no_id(module: Any, tmp_path: Path) -> None:
    value = checkpoint(module, runs(tmp_path), check=True).result["checkpoint"]
    assert (value["checkpoint_id"], value["archive_path"]) == (None, None) and not (tmp_path / "store").exists()


def test_another_run_of_the_container_gets_another_one(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, **LIVE).result["changed"]
    (old,) = stored(tmp_path)
    host.boxes["web"].restored = "2026-11-28T09:00:00Z"
    new = checkpoint(module, host, **LIVE).result["checkpoint"]["checkpoint_id"]
    assert [one.id for one in stored(tmp_path)] == [new, old.id] and new > old.id


def test_always_makes_one_each_time_while_it_runs(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    for count in (1, 2, 3):
        ran = checkpoint(module, host, when="always", **LIVE).result
        assert ran["changed"] and len(stored(tmp_path)) == count
    assert ran["diff"]["before"]["checkpoint"] == "of an earlier task"
    assert checkpoint(module, host, when="always").result["changed"]
    assert checkpoint(module, host, when="always").result["changed"] is False
    assert len(stored(tmp_path)) == 4


def test_always_replaces_an_archive(module: Any, tmp_path: Path) -> None:
    host, path = runs(tmp_path), tmp_path / "archives/web.tar.zst"
    for dummy in (1, 2):
        ran = checkpoint(module, host, archive_path=str(path), when="always", **LIVE).result
        assert ran["changed"] and sorted(os.listdir(path.parent)) == [path.name, f"{path.name}.json"]


def test_an_old_one_stays_beside_the_new_one(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    assert checkpoint(module, host, max_age="1h", **LIVE).result["changed"]
    assert checkpoint(module, host, max_age="1h", **LIVE).result["changed"] is False
    path = Path(stored(tmp_path)[0].path) / "manifest.json"
    entries = json.loads(path.read_text())
    entries["record"]["checkpointed_at"] = "2020-01-01T00:00:00Z"
    path.write_text(json.dumps(entries))
    assert checkpoint(module, host, max_age="1h", **LIVE).result["diff"]["before"]["checkpoint"] == "older than max_age"
    assert len(stored(tmp_path)) == 2


@pytest.mark.parametrize("wanted", [None, "latest", "id"])
def test_a_restore_takes_it_from_the_store(module: Any, tmp_path: Path, wanted: str | None) -> None:
    host, one = stored_once(module, tmp_path)
    options = {} if wanted is None else {"checkpoint": one.id if wanted == "id" else wanted}
    result = restore(module, host, **options)
    assert result["changed"] and host.boxes["web"].status == "running"
    assert any(one.part(ARCHIVE) in word for argv in result["commands"] for word in argv)
    assert restore(module, host, **options)["changed"] is False


def test_a_restore_under_a_new_name(module: Any, tmp_path: Path) -> None:
    host, dummy_one = stored_once(module, tmp_path)
    assert restore(module, host, new_name="web2")["changed"] and host.boxes["web2"].status == "running"


def test_latest_is_the_newest_without_a_fault(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    for dummy in (1, 2):
        checkpoint(module, host, when="always", **LIVE)
    new, old = stored(tmp_path)
    host.drop(host.boxes["web"])
    Path(new.part(ARCHIVE)).unlink()
    result = restore(module, host)
    assert any(old.part(ARCHIVE) in word for argv in result["commands"] for word in argv)
    words = f"The checkpoint {new.path!r} cannot be used: its part {ARCHIVE!r} is missing."
    assert words in str(result["warnings"])
    assert words not in str(restore(module, host, checkpoint=old.id).get("warnings"))
    host.drop(host.boxes["web"])
    assert restore(module, host, checkpoint=new.id)["reason"] == "checkpoint_damaged"


def of_a_later_release(folder: Path) -> Stored:
    """Gives the newest checkpoint an archive whose name this release does not know."""
    one = stored(folder)[0]
    assert one.manifest is not None
    first, *others = one.manifest.parts
    Path(one.part(ARCHIVE)).rename(one.part("archive.tar.lz4"))
    text = render_manifest(replace(one.manifest, parts=(replace(first, name="archive.tar.lz4"), *others)))
    Path(one.part("manifest.json")).write_text(text, encoding="utf-8")
    return one


@pytest.mark.parametrize("how", ["unknown", "damaged"])
@pytest.mark.parametrize("older", [True, False], ids=["with-an-older-one", "alone"])
def test_one_that_cannot_be_used_does_not_block_a_new_one(module: Any, tmp_path: Path, how: str, older: bool) -> None:
    host = runs(tmp_path)
    for dummy in range(1 + older):
        checkpoint(module, host, when="always", **LIVE)
    if how == "unknown":
        bad = of_a_later_release(tmp_path)
    else:
        bad = stored(tmp_path)[0]
        Path(bad.part(ARCHIVE)).unlink()
    predicted = checkpoint(module, host, check=True, **LIVE).result
    made = checkpoint(module, host, **LIVE).result
    assert not made.get("failed") and made["changed"] is not older and predicted["changed"] == made["changed"], made
    assert bad.path in str(made["warnings"]) and str(predicted["warnings"]) == str(made["warnings"])
    assert len(stored(tmp_path)) == 2
    host.drop(host.boxes["web"])
    refused = restore(module, host, checkpoint=bad.id)
    assert refused["reason"] == "checkpoint_damaged" and "\n" not in refused["msg"]


def test_latest_is_refused_if_this_release_does_not_know_its_archive(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    for dummy in (1, 2):
        checkpoint(module, host, when="always", **LIVE)
    bad = of_a_later_release(tmp_path)
    host.drop(host.boxes["web"])
    refused = restore(module, host)
    assert refused["reason"] == "checkpoint_damaged" and bad.path in refused["msg"] and not host.boxes


def test_an_archive_that_was_changed_is_refused(module: Any, tmp_path: Path) -> None:
    host, one = stored_once(module, tmp_path)
    path = Path(one.part(ARCHIVE))
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert restore(module, host)["reason"] == "archive_invalid" and not host.boxes


def test_a_record_that_was_changed_is_refused(module: Any, tmp_path: Path) -> None:
    host, one = stored_once(module, tmp_path)
    path = Path(one.part(f"{ARCHIVE}.json"))
    path.write_text(path.read_text().replace("s0:c441,c720", "s0:c441,c721"))
    failed = restore(module, host)
    assert failed["reason"] == "checkpoint_damaged" and "not the one in its manifest" in failed["msg"]
    assert not host.boxes


def test_no_checkpoint_in_the_store(module: Any, tmp_path: Path) -> None:
    assert restore(module, podman_host(tmp_path))["reason"] == "checkpoint_missing"


def test_a_store_of_others_is_refused(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o777)
    assert checkpoint(module, host).result["reason"] == "store_unsafe"
    assert restore(module, host)["reason"] == "store_unsafe" and not host.wrote


@pytest.mark.parametrize(
    "options, option",
    [
        ({"state": "absent"}, "store"),
        ({"why": "a\nb"}, "why"),
        ({"compression_level": 20}, "compression_level"),
        ({"compression_level": 1, "compression": "none"}, "compression_level"),
        ({"compression_level": 0, "compression": "gzip"}, "compression_level"),
        ({"when": "always", "store": None}, "when"),
        ({"max_age": "1h", "store": None}, "max_age"),
    ],
)
def test_options_that_do_not_fit(module: Any, tmp_path: Path, options: dict[str, Any], option: str) -> None:
    host = runs(tmp_path)
    failed = checkpoint(module, host, **options).result
    assert (failed["reason"], failed["option"]) == ("option_invalid", option) and not host.ran


@pytest.mark.parametrize(
    "options, podman, name",
    [
        ({}, "zstd", ARCHIVE),
        ({"compression_level": 1}, "none", ARCHIVE),
        ({"compression": "none"}, "none", "archive.tar"),
        ({"compression": "gzip"}, "gzip", "archive.tar.gz"),
        ({"compression": "gzip", "compression_level": 9}, "none", "archive.tar.gz"),
    ],
)
def test_who_compresses(module: Any, tmp_path: Path, options: dict[str, Any], podman: str, name: str) -> None:
    result = checkpoint(module, runs(tmp_path), **options).result
    assert f"--compress={podman}" in result["commands"][0]
    assert os.path.basename(result["checkpoint"]["archive_path"]) == name
    assert not any("compression_level" in str(one) for one in result["warnings"])


def test_without_libzstd_podman_compresses(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "can_compress", lambda: False)
    result = checkpoint(module, runs(tmp_path), compression_level=5).result
    assert "--compress=zstd" in result["commands"][0]
    assert any("compression_level has no effect" in str(one) for one in result["warnings"])


def test_only_one_task_works_in_the_folder_of_a_container(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = runs(tmp_path)
    monkeypatch.setattr("ansible_collections.criu.hosts.plugins.module_utils._core.lock.HOLD_SECONDS", 0.1)
    with hold(lock_path(PLACE.paths, 0, "store", str(tmp_path / "store/containers/web")), "store"):
        assert checkpoint(module, host).result["reason"] == "busy"
        assert restore(module, host)["reason"] == "busy"


def test_a_failed_export_leaves_nothing_in_the_store(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path)
    host.fails.add("export")
    failed = checkpoint(module, host).result
    assert failed["reason"] == "disk_full" and failed["container_state"] == "running"
    assert os.listdir(tmp_path / "store/containers/web") == []


def test_a_container_that_is_gone_is_in_the_store_after_a_late_failure(module: Any, tmp_path: Path) -> None:
    host = runs(tmp_path, auto_remove=True)
    host.fails.add("late")
    failed = checkpoint(module, host).result
    assert failed["container_state"] == "absent" and "the archive has its state" in failed["msg"]
    (one,) = stored(tmp_path)
    assert one.fault == ""
    host.fails.clear()
    assert restore(module, host)["changed"]


@pytest.mark.parametrize("check", [False, True])
def test_an_engine_that_waits_at_the_pipe_of_a_killed_task_ends(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    """As after 'pkill -9 python3': task, guardian and reader are gone, and podman holds the container."""
    host = runs(tmp_path)

    def die(*dummy: Any, **dummy_options: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(host, "stream_to_end", die)
        with pytest.raises(Killed):
            checkpoint(module, host, **LIVE)
    (pipe,) = tmp_path.glob("store/containers/web/.part-new/.*.pipe")
    answer = host.run_command
    with subprocess.Popen(["sh", "-c", 'exec head -c 3000000 /dev/zero 1<>"$0"', str(pipe)]) as podman:

        def inspect(*given: Any, **options: Any) -> Any:
            if "inspect" in given[1] and not check:
                podman.wait(300)
            return answer(*given, **options)

        monkeypatch.setattr(host, "run_command", inspect)
        result = checkpoint(module, host, check=check, **LIVE).result
        assert not result.get("failed") and (podman.poll() is None) is check, "in check mode the task may be alive"
        subprocess.run(["kill", "-9", str(podman.pid)], check=check)  # signals of this process are only recorded
    assert len(stored(tmp_path)) == int(not check) and pipe.exists() is check
