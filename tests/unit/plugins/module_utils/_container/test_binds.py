# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts of the host that keep a container from being restored: refused, or named, before anything is done."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container.binds import check_dump
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import parse_inspect
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.tests.unit.containers import ID, World, pid_of, recorded, world
from ansible_collections.criu.hosts.tests.unit.mounted import put_mounts, put_sources
from ansible_collections.criu.hosts.tests.unit.podman_host import Box, PodmanHost, podman_host

PID = pid_of("running")
REPLACED = "/srv/conf/app.conf//deleted"


def rewrite(made: World, old: str, new: str, where: str = f"proc/{PID}/mountinfo") -> None:
    path = made.folder / where
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def made(tmp_path: Path) -> World:
    found = world(tmp_path)
    put_sources(tmp_path)
    put_mounts(found)
    return found


def risks(made: World, runtime: str = "runc") -> list[str]:
    entry = json.loads(made.inspected("running"))
    entry[0]["OCIRuntime"] = runtime
    container = parse_inspect(json.dumps(entry))
    return [risk.reason for risk in check_dump(made.paths, Podman(made.paths), container)]


def refusal(made: World) -> tuple[str, str]:
    with pytest.raises(CheckpointError) as caught:
        risks(made)
    return caught.value.reason, caught.value.facts["path"]


def test_a_link_as_source_is_a_risk_and_the_rest_is_none(made: World) -> None:
    assert risks(made) == ["mount_source_link"]


def test_a_link_on_the_way_is_none(made: World) -> None:
    # Seen with CRIU 4.2.1: such a container is restored.
    os.rename(made.folder / "srv/conf", made.folder / "srv/c")
    os.symlink("c", made.folder / "srv/conf")
    rewrite(made, "/srv/conf/", "/srv/c/")
    assert risks(made) == ["mount_source_link"]  # that of /srv/link


def test_a_replaced_file_is_refused(made: World) -> None:
    put_mounts(made, inside="container-replaced")
    rewrite(made, "/srv/conf/moved.old /m", "/srv/conf/moved /m")
    assert refusal(made) == ("mount_replaced", "/srv/conf/app.conf")


def test_a_file_that_was_renamed_and_made_again_is_refused(made: World) -> None:
    put_mounts(made, inside="container-replaced")
    rewrite(made, REPLACED, "/srv/conf/app.conf")
    assert refusal(made) == ("mount_replaced", "/srv/conf/moved")


def test_a_file_that_was_removed_and_not_made_again_counts_as_replaced(made: World) -> None:
    (made.folder / "srv/conf/app.conf").unlink()
    rewrite(made, "/srv/conf/app.conf ", f"{REPLACED} ")
    assert refusal(made) == ("mount_replaced", "/srv/conf/app.conf")


def test_a_source_that_was_moved_away_is_missing(made: World) -> None:
    (made.folder / "srv/conf/d").rmdir()
    rewrite(made, "/srv/conf/d ", "/srv/conf/d.old ")
    assert refusal(made) == ("mount_source_missing", "/srv/conf/d")


def test_a_file_system_mounted_over_the_source_is_refused(made: World) -> None:
    file = made.folder / "proc/self/mountinfo"
    text = file.read_text()
    file.write_text(f"{text}9000 {text.split()[0]} 0:200 / /srv/conf/d rw - tmpfs over rw\n")
    assert refusal(made) == ("mount_replaced", "/srv/conf/d")


def test_a_replaced_target_behind_a_link_of_the_image_is_found(made: World) -> None:
    rewrite(made, "/srv/conf/app.conf /etc/app.conf", f"{REPLACED} /run/app.conf")
    assert refusal(made) == ("mount_replaced", "/srv/conf/app.conf")


def test_podmans_own_file_counts_if_it_was_removed(made: World) -> None:
    rewrite(made, "/userdata/hosts ", "/userdata/hosts//deleted ")
    reason, path = refusal(made)
    assert reason == "mount_replaced" and path.endswith("/userdata/hosts")


def test_mounts_of_the_host_that_cannot_be_read_refuse_nothing(made: World) -> None:
    (made.folder / "proc/self/mountinfo").unlink()
    assert risks(made) == ["mount_source_link"]


@pytest.mark.parametrize("runtime, found", [("runc", 1), ("/usr/sbin/runc", 1), ("crun", 0)])
def test_a_mount_below_a_source_is_a_risk_with_runc(made: World, runtime: str, found: int) -> None:
    put_mounts(made, around="host-below")
    assert risks(made, runtime).count("host_mounts_at_risk") == found


def test_a_private_mount_is_no_risk(made: World) -> None:
    put_mounts(made, around="host-below")
    rewrite(made, " shared:1 ", " ", "proc/self/mountinfo")
    assert risks(made) == ["mount_source_link"]


def host_with(folder: Path) -> PodmanHost:
    """Returns a host on which the recorded container runs, without the link."""
    host = podman_host(folder)
    put_sources(folder)
    (folder / "srv/link").unlink()
    (folder / "srv/link").mkdir()
    box = Box(ID, "web", created="2026-11-01T00:00:00Z")
    host.run_box(box)
    put(host, box)
    return host


def put(host: PodmanHost, box: Box, **texts: str) -> None:
    put_mounts(host.world, pid=box.pid, **texts)
    rewrite(host.world, "/srv/real /data", "/srv/link /data", f"proc/{box.pid}/mountinfo")


def call(module: Any, host: PodmanHost, task: str, **options: Any) -> dict[str, Any]:
    check = options.pop("check", False)
    result: dict[str, Any] = module(task, {"name": "web", **options}, host=host, check=check).result
    return result


def archive(folder: Path) -> dict[str, Any]:
    return {"archive_path": str(folder / "archives/web.tar.gz")}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("to_archive", [False, True])
def test_a_checkpoint_is_refused_before_the_dump(tmp_path: Path, module: Any, to_archive: bool, check: bool) -> None:
    host = host_with(tmp_path)
    put(host, host.boxes["web"], inside="container-replaced")
    options = {**archive(tmp_path), "leave_running": True} if to_archive else {}
    result = call(module, host, "container_checkpoint", check=check, **options)
    assert (result["reason"], result["path"], host.wrote) == ("mount_replaced", "/srv/conf/moved", [])
    assert "Restart the container" in result["msg"] and host.boxes["web"].status == "running"


def test_a_checkpoint_warns_of_a_restore_that_would_be_refused(tmp_path: Path, module: Any) -> None:
    host = host_with(tmp_path)
    put(host, host.boxes["web"], around="host-below")
    result = call(module, host, "container_checkpoint")
    assert [risk["reason"] for risk in result["restore_risks"]] == ["host_mounts_at_risk"]
    assert any("'/srv/t/a b/disk'" in warning and "crun" in warning for warning in warnings_of(result))
    assert call(module, host, "container_checkpoint")["restore_risks"] == []


def warnings_of(result: dict[str, Any]) -> list[str]:
    return [str(one) for one in result.get("warnings", [])]


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("from_archive", [False, True])
@pytest.mark.parametrize(
    "reason, path", [("mount_source_missing", "/srv/conf/d"), ("host_mounts_at_risk", "/srv/t/a b/disk")]
)
def test_a_restore_is_refused_before_anything(
    tmp_path: Path, module: Any, reason: str, path: str, from_archive: bool, check: bool
) -> None:
    host = host_with(tmp_path)
    options = archive(tmp_path) if from_archive else {}
    more = {"compression": "gzip"} if from_archive else {}
    assert call(module, host, "container_checkpoint", **options, **more)["changed"]
    if from_archive:
        host.drop(host.boxes["web"])
    if reason == "mount_source_missing":
        (tmp_path / "srv/conf/d").rmdir()
    else:
        (tmp_path / "proc/self/mountinfo").write_text(recorded("mountinfo-host-below.txt"))
    wrote = list(host.wrote)
    result = call(module, host, "container_restore", check=check, **options)
    assert (result["reason"], result["path"], host.wrote) == (reason, path, wrote)
    if not from_archive:
        assert (host.folder(Box(ID, "web")) / "checkpoint/inventory.img").exists()


def test_volumes_of_the_archive_need_no_source(tmp_path: Path, module: Any) -> None:
    host = host_with(tmp_path)
    host.volumes = ("vol",)
    assert call(module, host, "container_checkpoint", **archive(tmp_path), compression="gzip")["changed"]
    host.drop(host.boxes["web"])
    (tmp_path / "var/lib/containers/storage/volumes/vol/_data").rmdir()
    (tmp_path / "var/lib/containers/storage/volumes/vol").rmdir()
    assert call(module, host, "container_restore", **archive(tmp_path), check=True)["changed"]


def test_a_failed_export_is_not_brought_back_over_mounts_of_the_host(tmp_path: Path, module: Any) -> None:
    host = host_with(tmp_path)
    put(host, host.boxes["web"], around="host-below")
    host.fails.add("export")
    result = call(module, host, "container_checkpoint", **archive(tmp_path), compression="gzip")
    assert result["container_state"] == "exited" and "runc would unmount it" in result["msg"]
    assert not any("restore" in argv for argv in host.wrote)
    assert (host.folder(Box(ID, "web")) / "checkpoint/inventory.img").exists()
