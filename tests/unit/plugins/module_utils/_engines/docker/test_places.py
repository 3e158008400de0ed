# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Docker keeps what belongs to a container."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker import places
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.answers import parse_inspect
from ansible_collections.criu.hosts.tests.unit.docker_host import FIXTURES, IMAGE, inspected, recorded

WEB = inspected("running")["Id"]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A host whose Docker has the recorded container web."""
    folder = tmp_path / "var/lib/docker/containers" / WEB
    folder.mkdir(parents=True)
    shutil.copy(FIXTURES / "26.1.5-config.v2.json", folder / "config.v2.json")
    return Paths(str(tmp_path))


def setting(paths: Paths, text: str) -> None:
    path = Path(paths.below(places.CONFIG))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("text", "root"),
    [
        pytest.param(None, "/var/lib/docker", id="no-file"),
        pytest.param("{}", "/var/lib/docker", id="default"),
        pytest.param('{"data-root": "/srv/docker"}', "/srv/docker", id="set"),
        pytest.param('{"data-root": "relative"}', "/var/lib/docker", id="relative"),
        pytest.param('{"data-root": 5}', "/var/lib/docker", id="number"),
        pytest.param("{", "/var/lib/docker", id="broken"),
    ],
)
def test_root(paths: Paths, text: str | None, root: str) -> None:
    if text is not None:
        setting(paths, text)
    assert places.root(paths) == paths.below(root)


def test_a_container_is_found_by_its_name_and_its_id(paths: Paths) -> None:
    assert places.find_id(paths, "web") == places.find_id(paths, WEB) == WEB
    # Docker would take it for the beginning of the id.
    assert places.find_id(paths, WEB[:12]) == ""


def test_a_container_whose_notes_are_damaged_is_left_out(paths: Paths) -> None:
    folder = Path(places.root(paths)) / "containers" / ("f" * 64)
    folder.mkdir()
    assert places.find_id(paths, "web") == WEB
    (folder / "config.v2.json").write_text("{")
    assert places.find_id(paths, "web") == WEB
    (folder / "config.v2.json").unlink()
    (folder / "config.v2.json").symlink_to("/etc/passwd")
    assert places.find_id(paths, "web") == WEB


def test_files_in_another_place(paths: Paths) -> None:
    setting(paths, '{"data-root": "/srv/docker"}')
    for call in (
        lambda: places.demand(paths, "web"),
        lambda: places.demand_folder(paths, replace(parse_inspect(recorded("inspect-host.json")))),
    ):
        with pytest.raises(CheckpointError) as caught:
            call()
        assert caught.value.reason == "engine_elsewhere"


def test_a_stamp_is_the_time_and_the_contents(tmp_path: Path) -> None:
    images = tmp_path / "images"
    assert places.stamp_of(str(images)) == ""
    images.mkdir()
    assert places.stamp_of(str(images)) == ""
    file = images / "inventory.img"
    file.write_bytes(b"one")
    os.utime(file, (1_800_000_000, 1_800_000_000))
    first = places.stamp_of(str(images))
    # Docker unpacks it from a tar, which keeps whole seconds.
    assert int(first) // 10**9 == 1_800_000_000
    file.write_bytes(b"two")
    os.utime(file, (1_800_000_000, 1_800_000_000))
    assert places.stamp_of(str(images)) not in ("", first)
    # What a restore adds beside it changes nothing.
    (images / "restore-attempt").write_text("1")
    file.write_bytes(b"one")
    os.utime(file, (1_800_000_000, 1_800_000_000))
    assert places.stamp_of(str(images)) == first


def test_a_link_has_no_stamp(tmp_path: Path) -> None:
    (tmp_path / "inventory.img").symlink_to("/etc/hostname")
    assert places.stamp_of(str(tmp_path)) == ""


@pytest.mark.parametrize("state", ["run/containerd", "run/docker/containerd/daemon"])
def test_a_container_that_runs(paths: Paths, tmp_path: Path, state: str) -> None:
    assert (places.bundle_of(paths, WEB), places.live_pid(paths, WEB)) == ("", 0)
    bundle = tmp_path / state / "io.containerd.runtime.v2.task/moby" / WEB
    (bundle / "work").mkdir(parents=True)
    assert places.bundle_of(paths, WEB) == str(bundle)
    (bundle / "init.pid").write_text("42")
    assert places.live_pid(paths, WEB) == 0
    (tmp_path / "proc/42").mkdir(parents=True)
    assert places.live_pid(paths, WEB) == 42
    assert not places.was_restored(paths, WEB)
    (bundle / "work/restore.log").write_text("")
    assert places.was_restored(paths, WEB)
    assert places.log_finder(paths, "web")() == places.log_finder(paths, WEB)() == f"{bundle}/work/restore.log"


def test_the_end_of_a_run(paths: Paths) -> None:
    box = parse_inspect(recorded("inspect-running.json"))
    file = Path(places.folder_of(paths, box)) / "config.v2.json"
    assert not places.has_ended(paths, box)
    text = file.read_text()
    file.write_text(text.replace('"Running":true', '"Running":false'))
    assert places.has_ended(paths, box)
    file.write_text("{")
    assert not places.has_ended(paths, box)
    file.write_text(text.replace(box.started_at, "2026-12-01T04:00:00Z"))
    with pytest.raises(CheckpointError) as caught:
        places.has_ended(paths, box)
    assert "was started again" in caught.value.message


def test_the_layer_of_a_container(paths: Paths, tmp_path: Path) -> None:
    assert places.upper_of(paths, WEB) == ""
    mounts = tmp_path / "var/lib/docker/image/overlay2/layerdb/mounts" / WEB
    mounts.mkdir(parents=True)
    (mounts / "mount-id").write_text("e" * 64)
    assert places.upper_of(paths, WEB) == paths.below(f"/var/lib/docker/overlay2/{'e' * 64}/diff")
    (mounts / "mount-id").write_text("../../../etc")
    assert places.upper_of(paths, WEB) == ""


def test_the_image_of_a_name(paths: Paths, tmp_path: Path) -> None:
    assert places.image_named(paths, "lab/workload:1") == ""
    folder = tmp_path / "var/lib/docker/image/overlay2"
    folder.mkdir(parents=True)
    names = f'{{"Repositories": {{"lab/workload": {{"lab/workload:1": "sha256:{IMAGE}"}}, "x": {{"x:latest": 5}}}}}}'
    (folder / "repositories.json").write_text(names)
    assert places.image_named(paths, "lab/workload:1") == IMAGE
    assert places.image_named(paths, "lab/workload") == ""
    assert places.image_named(paths, "x") == ""
