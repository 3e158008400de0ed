# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_info lists stores and folders of images, and says what keeps a checkpoint from being restored."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._store.entries import ABOUT, KEYS
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.tests.unit.containers import INSPECT, world
from ansible_collections.criu.hosts.tests.unit.harness import Reply
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_checkpoint_info import DETAILS, archive
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_container_restore import GONE
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_container_restore import archive as on_host
from ansible_collections.criu.hosts.tests.unit.stored import (
    HOST,
    manifest_of,
    part_of,
    process_manifest,
    store_checkpoint,
)

FIRST, SECOND = "20261130T164500Z-1a2b3c4d", "20261130T174500Z-00000001"


def listed(module: Any, store: Path, **params: Any) -> list[dict[str, Any]]:
    return list(module("checkpoint_info", {"store": str(store), **params}).result["checkpoints"])


def images(folder: Path, name: str = "images") -> Path:
    """Unpacks the images of the recorded archive."""
    place = folder / name
    place.mkdir(parents=True)
    with tarfile.open(archive("4.2.1")) as packed:
        for member in packed.getmembers():
            parts = member.name.split("/")
            if member.isfile() and (parts[0] == "checkpoint" or parts == ["stats-dump"]):
                data = packed.extractfile(member)
                assert data is not None
                (place / parts[-1]).write_bytes(data.read())
    return place


def test_a_store_is_listed_by_its_manifests(module: Any, tmp_path: Path) -> None:
    store_checkpoint(tmp_path, manifest_of(FIRST, why="before the upgrade", who="root"))
    newer = store_checkpoint(tmp_path, manifest_of(SECOND, parent=FIRST))
    (newer / "pinned").touch()
    (newer / "manifest.json.sig").touch()
    store_checkpoint(tmp_path, process_manifest())
    found = listed(module, tmp_path)
    assert [(one["kind"], one["name"], one["checkpoint"]) for one in found] == [
        *(("container", "web", SECOND), ("process", "worker", FIRST), ("container", "web", FIRST))
    ]
    first, worker, last = found
    assert (first["pinned"], first["signed"], first["parent"]) == (True, True, FIRST)
    assert (last["pinned"], last["signed"], last["parent"]) == (False, False, None)
    assert (last["why"], last["who"], last["made_at"]) == ("before the upgrade", "root", "2026-11-30T16:45:00Z")
    assert last["path"] == str(tmp_path / f"containers/web/{FIRST}/archive.tar.zst")
    assert (last["container"], last["image"], last["runtime"], last["size_bytes"]) == (
        *("web", "localhost/w:latest", "crun", 23),
    )
    assert worker["path"] == str(tmp_path / f"processes/worker/{FIRST}/images")
    assert (worker["record"]["comm"], worker["container"]) == ("worker", None)
    assert last["host"] == {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in vars(HOST).items()
        if key != "cpu_features"
    }
    # The archives are none, so nothing has read them.
    assert all(one["reason"] is None and one["processes"] is None for one in found)
    assert all(set(one) == {"path", *ABOUT, *KEYS} for one in found)


def test_one_kind_and_one_name(module: Any, tmp_path: Path) -> None:
    for manifest in (manifest_of(), manifest_of(name="db"), process_manifest(name="db")):
        store_checkpoint(tmp_path, manifest)
    assert [(one["kind"], one["name"]) for one in listed(module, tmp_path, name="db")] == [
        *(("process", "db"), ("container", "db"))
    ]
    assert [one["name"] for one in listed(module, tmp_path, kind="process")] == ["db"]
    assert listed(module, tmp_path, name="other") == []


def test_the_digest_of_every_part(module: Any, tmp_path: Path) -> None:
    store_checkpoint(tmp_path, manifest_of(FIRST))
    changed = store_checkpoint(tmp_path, process_manifest(SECOND))
    (changed / "images/core-7.img").write_bytes(b"NOT read by these tests")
    worker, web = listed(module, tmp_path, verify=True)
    assert (web["verified"], web["damaged_parts"]) == (True, [])
    assert (worker["verified"], worker["damaged_parts"]) == (False, ["images/core-7.img"])
    assert [one["verified"] for one in listed(module, tmp_path)] == [None, None]


def test_a_damaged_checkpoint_is_listed_with_its_fault(module: Any, tmp_path: Path) -> None:
    store_checkpoint(tmp_path, manifest_of(FIRST))
    cut = store_checkpoint(tmp_path, manifest_of(SECOND))
    (cut / "archive.tar.zst").write_bytes(b"")
    gone = store_checkpoint(tmp_path, manifest_of(name="db"))
    (gone / "manifest.json").unlink()
    short, web, db = listed(module, tmp_path, verify=True, detail=["processes"])
    assert [short["reason"], db["reason"]] == ["checkpoint_damaged", "checkpoint_damaged"]
    assert (short["name"], short["container"], short["verified"]) == ("web", "web", None)
    assert "its part 'archive.tar.zst' has 0 bytes" in short["message"]
    assert (db["name"], db["path"], db["made_at"]) == ("db", str(gone), None)
    # With details, the archive is read, and is none.
    assert (web["reason"], web["container"]) == ("archive_invalid", "web")


def test_the_contents_of_a_stored_container(module: Any, tmp_path: Path) -> None:
    data = archive("4.2.1").read_bytes()
    store_checkpoint(tmp_path, manifest_of(parts=(part_of("archive.tar.gz", data),)), data)
    (found,) = listed(module, tmp_path, detail=["processes"])
    assert found["reason"] is None and found["checkpoint"] == FIRST
    assert [one["cmdline"] for one in found["processes"]] == ["python3 victim.py a b c", "sleep 86400"]


def test_nothing_is_read_of_an_encrypted_archive(module: Any, tmp_path: Path) -> None:
    store_checkpoint(tmp_path, manifest_of(parts=(part_of("archive.tar.zst.age"),)))
    (found,) = listed(module, tmp_path, detail=["processes"], verify=True)
    assert (found["encrypted"], found["reason"], found["verified"]) == (True, None, True)
    assert (found["container"], found["processes"]) == ("web", None)
    (alone,) = module("checkpoint_info", {"path": found["path"]}).result["checkpoints"]
    assert (alone["encrypted"], alone["reason"], alone["container"]) == (True, None, None)


def test_no_store(module: Any, tmp_path: Path) -> None:
    run = module("checkpoint_info", {"store": str(tmp_path / "none")})
    assert (run.failed, run.result["reason"]) == (True, "store_missing")


def test_a_folder_of_images_has_what_an_archive_of_them_has(module: Any, tmp_path: Path) -> None:
    (packed,) = module("checkpoint_info", {"path": str(archive("4.2.1")), "detail": DETAILS}).result["checkpoints"]
    place = images(tmp_path)
    (found,) = module("checkpoint_info", {"path": str(place), "detail": DETAILS}).result["checkpoints"]
    assert (found["kind"], packed["kind"]) == ("process", "container")
    same = [*("lsm", "labels", "process_count", "thread_count", "lock_count", "processes", "open_files", "locks")]
    for key in (*same, "sockets", "tcp_connections", "memory", "statistics"):
        assert found[key] == packed[key], key
    assert found["checkpoint_size"]["memory_pages_size"] == packed["checkpoint_size"]["memory_pages_size"]
    assert found["size_bytes"] == sum(one.stat().st_size for one in place.iterdir())
    assert (found["container"], found["record"], found["record_fault"]) == (None, None, None)


def test_the_statistics_may_be_beside_the_images(module: Any, tmp_path: Path) -> None:
    place = images(tmp_path)
    beside = tmp_path / ".images.criu"
    beside.mkdir()
    (place / "stats-dump").rename(beside / "stats-dump")
    (found,) = module("checkpoint_info", {"path": str(place)}).result["checkpoints"]
    assert found["statistics"]["pages_written"] > 0


def test_archives_and_images_in_one_folder(module: Any, tmp_path: Path) -> None:
    shutil.copyfile(archive("4.2.1"), tmp_path / "web.tar.gz")
    made = ProcessRecord(7, "8421", "", "w\x1b", "/usr/bin/w", "", checkpointed_at="2026-11-30T16:45:00Z", criu="4.2.1")
    record = images(tmp_path, "worker") / RECORD
    record.write_text(render_record(made))
    record.chmod(0o600)
    (images(tmp_path, "bad") / "pstree.img").write_bytes(b"x")
    images(tmp_path, ".hidden")
    (tmp_path / "link").symlink_to(tmp_path / "worker")
    (tmp_path / "other").mkdir()
    found = module("checkpoint_info", {"path": str(tmp_path)}).result["checkpoints"]
    assert [(os.path.basename(one["path"]), one["kind"], one["reason"]) for one in found] == [
        *(("bad", "process", "archive_invalid"), ("web.tar.gz", "container", None), ("worker", "process", None))
    ]
    assert "its pstree.img cannot be read" in found[0]["message"]
    assert (found[2]["record"]["comm"], found[2]["made_at"]) == (r"w\x1b", "2026-11-30T16:45:00Z")


def test_no_link_in_a_folder_of_images_is_read(module: Any, tmp_path: Path) -> None:
    place = images(tmp_path)
    (place / "pstree.img").rename(tmp_path / "pstree.img")
    (place / "pstree.img").symlink_to(tmp_path / "pstree.img")
    (found,) = module("checkpoint_info", {"path": str(place)}).result["checkpoints"]
    assert found["process_count"] == 0


def reasons(one: dict[str, Any]) -> list[str]:
    return [each["reason"] for each in one["reasons"]]


def restorable(module: Any, made: Any, path: Path, **params: Any) -> dict[str, Any]:
    params = {"path": str(path), "restorable": True, "detail": [], **params}
    (found,) = module("checkpoint_info", params, host=made.host).result["checkpoints"]
    return dict(found)


def put_real(path: Path) -> None:
    """Puts a real archive there, whose record has its size and digest."""
    shutil.copyfile(archive("4.2.1"), path)
    path.chmod(0o600)
    beside = path.with_name(f"{path.name}.json")
    entries = json.loads(beside.read_text())
    entries.update(size_bytes=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    beside.write_text(json.dumps(entries))


def test_an_archive_that_can_be_restored(module: Any, tmp_path: Path) -> None:
    made, path = on_host(tmp_path)
    put_real(path)
    made.script(GONE)
    found = restorable(module, made, path, verify=True)
    assert (found["restorable"], found["reasons"], found["verified"]) == (True, [], True)
    assert made.host.wrote == []


def test_all_that_is_in_the_way_at_once(module: Any, tmp_path: Path) -> None:
    made, path = on_host(tmp_path, runtime="own", image_id="c" * 64, volumes=("data",), criu="9.1")
    put_real(path)
    (tmp_path / "var/lib/containers/storage/volumes/data").mkdir(parents=True)
    made.script(GONE, Reply(["podman", "image", "exists", "c" * 64], rc=1))
    found = restorable(module, made, path)
    assert found["restorable"] is False
    assert reasons(found) == ["archive_runtime_missing", "criu_too_old", "image_missing", "volume_exists"]
    (image,) = [one for one in found["reasons"] if one["reason"] == "image_missing"]
    assert "'podman save localhost/w | ssh HOST podman load' brings it here." in image["remedy"]


def test_the_container_runs(module: Any, tmp_path: Path) -> None:
    with socket.socket() as published:
        published.bind(("127.0.0.1", 0))
        published.listen()
        port = {"ip": "127.0.0.1", "port": published.getsockname()[1], "count": 1, "protocol": "tcp"}
        made, path = on_host(tmp_path, ports=(port,))
        put_real(path)
        made.script(Reply(INSPECT, out=made.inspected("restored")))
        found = restorable(module, made, path)
    assert reasons(found) == ["name_in_use"]
    assert found["reasons"][0]["remedy"] == "Remove it first, or give new_name."


def test_another_container_has_the_name(module: Any, tmp_path: Path) -> None:
    made, path = on_host(tmp_path, id="d" * 64, volumes=("data",))
    put_real(path)
    (tmp_path / "var/lib/containers/storage/volumes/data").mkdir(parents=True)
    made.script(Reply(INSPECT, out=made.inspected("running")))
    assert reasons(restorable(module, made, path)) == ["name_in_use", "volume_exists"]


def test_a_changed_archive_and_a_damaged_one(module: Any, tmp_path: Path) -> None:
    made, path = on_host(tmp_path)
    put_real(path)
    beside = path.with_name(f"{path.name}.json")
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "sha256": "0" * 64}))
    made.script(GONE)
    (path.parent / "half.tar").write_bytes(b"no archive")
    params = {"path": str(path.parent), "restorable": True, "verify": True}
    half, web = module("checkpoint_info", params, host=made.host).result["checkpoints"]
    assert (half["restorable"], reasons(half)) == (False, ["archive_invalid"])
    assert (web["restorable"], reasons(web)) == (False, ["archive_invalid"])
    assert "its SHA-256 is not the recorded one" in web["reasons"][0]["message"]


def test_a_manifest_says_more_than_a_record(module: Any, tmp_path: Path) -> None:
    made = world(tmp_path)
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/arch").write_text("x86_64\n")
    (tmp_path / "proc/sys/kernel/osrelease").write_text("6.1.0-40-amd64\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/cpuinfo").write_text("flags\t: fpu\n")
    made.script(GONE, Reply(["podman", "--version"], out="podman version 5.4.2\n"))
    made.script(Reply(["podman", "image", "exists", "1d"]))
    host = replace(HOST, engine_version="6.0", criu="4.3")
    store_checkpoint(tmp_path / "store", manifest_of(host=host))
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/crun").touch()
    params = {"store": str(tmp_path / "store"), "restorable": True}
    (found,) = module("checkpoint_info", params, host=made.host).result["checkpoints"]
    assert reasons(found) == [*("cpu_mismatch", "kernel_too_old", "criu_too_old", "engine_too_old", "cgroup_mismatch")]


def absent(dummy_module: Any, args: Any, **dummy_options: Any) -> Any:
    raise FileNotFoundError(2, "No such file or directory", args[0])


def test_without_podman(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, path = on_host(tmp_path)
    put_real(path)
    monkeypatch.setattr(made.host, "run_command", absent)
    assert reasons(restorable(module, made, path)) == ["podman_missing"]


def test_an_archive_that_others_may_write(module: Any, tmp_path: Path) -> None:
    made, path = on_host(tmp_path)
    put_real(path)
    path.chmod(0o666)
    assert reasons(restorable(module, made, path)) == ["archive_path_unsafe"]


def test_images_of_a_process(module: Any, tmp_path: Path) -> None:
    made = world(tmp_path, selinux="disabled")
    place = images(tmp_path / "there")
    os.chmod(tmp_path / "there", 0o700)
    os.chmod(place, 0o700)
    for one in place.iterdir():
        one.chmod(0o600)
    digest = hashlib.sha256((place / "inventory.img").read_bytes()).hexdigest()
    made_here = ProcessRecord(14011, "1", "", "python3", "/usr/bin/python3", "", inventory=digest, criu="9.1")
    record = place / RECORD
    record.write_text(render_record(replace(made_here, selinux="enforcing")))
    record.chmod(0o600)
    (tmp_path / "proc/14042").mkdir()
    (tmp_path / "proc/14042/status").write_text("Name:\tother\nTgid:\t14042\n")
    (tmp_path / "proc/14042/comm").write_text("other\n")
    (tmp_path / "proc/14042/stat").write_text("14042 (other) S " + " ".join(["1"] * 18) + " 77 0\n")
    found = restorable(module, made, place)
    assert reasons(found) == ["pid_in_use", "criu_too_old", "lsm_mismatch"]


def test_processors_are_compared_by_criu(module: Any, tmp_path: Path) -> None:
    made = world(tmp_path, selinux="disabled")
    place = images(tmp_path / "there")
    os.chmod(tmp_path / "there", 0o700)
    os.chmod(place, 0o700)
    (place / "cpuinfo.img").write_bytes(b"")
    for one in place.iterdir():
        one.chmod(0o600)
    check = [made.host.tools["criu"], "cpuinfo", "check", "--no-default-config", "--images-dir", str(place)]
    made.script(Reply(check, err=recorded_check(), rc=1))
    found = restorable(module, made, place)
    assert reasons(found)[-1] == "cpu_mismatch"


def recorded_check() -> str:
    return (Path(__file__).parents[2] / "fixtures/criu/4.2.1-cpuinfo-check.txt").read_text(encoding="utf-8")


def test_verify_compares_all_that_a_checkpoint_is_built_on(module: Any, tmp_path: Path) -> None:
    parent = store_checkpoint(tmp_path, process_manifest(FIRST))
    store_checkpoint(tmp_path, process_manifest(SECOND, parent=FIRST))
    assert [one["verified"] for one in listed(module, tmp_path, verify=True)] == [True, True]
    (parent / "images/core-7.img").write_bytes(b"x" * (parent / "images/core-7.img").stat().st_size)
    child, above = listed(module, tmp_path, verify=True, restorable=True)
    assert (child["verified"], child["damaged_parts"]) == (False, [f"{FIRST}/images/core-7.img"])
    assert (above["verified"], above["damaged_parts"]) == (False, ["images/core-7.img"])
    assert child["reasons"][0]["reason"] == "archive_invalid" and FIRST in child["reasons"][0]["message"]
    shutil.rmtree(parent)
    [alone] = listed(module, tmp_path, verify=True)
    assert alone["reason"] == "checkpoint_damaged" and f"{FIRST!r}, which is missing" in alone["message"]
