# SPDX-License-Identifier: GPL-3.0-or-later
"""container_restore says all at once that would keep a restore from succeeding, and touches nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Iterator

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container import restore_archive
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.tests.unit.containers import ID, INSPECT, recorded, world
from ansible_collections.criu.hosts.tests.unit.harness import Reply
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_container_restore import (
    GONE,
    archive,
    checkpointed,
    record,
)
from ansible_collections.criu.hosts.tests.unit.stored import HOST, manifest_of, store_checkpoint

NETWORK = ["podman", "network", "inspect", "podman"]
PORT = {"ip": "127.0.0.1", "port": 0, "count": 1, "protocol": "tcp"}


@pytest.fixture(name="taken")
def taken_fixture() -> Iterator[int]:
    """A port that a program of the host has."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def refused(module: Any, made: Any, path: Path | None = None, **params: Any) -> dict[str, Any]:
    params = {"name": "web", **({"archive_path": str(path)} if path else {}), **params}
    results = [module("container_restore", params, host=made.host, check=check).result for check in (True, False)]
    for key in ("reason", "msg", "reasons"):
        assert results[0][key] == results[1][key], "check mode says the same"
    assert made.host.wrote == []
    return dict(results[0])


def reasons(result: dict[str, Any]) -> list[str]:
    found = [one["reason"] for one in result["reasons"]]
    assert result["reason"] == found[0]
    return found


def test_all_at_once(module: Any, tmp_path: Path, taken: int) -> None:
    made, path = archive(
        tmp_path,
        criu="9.1",
        image_id="c" * 64,
        volumes=("data",),
        ports=({**PORT, "port": taken},),
        networks={"podman": ["10.88.0.3"]},
        binds=({"source": "/nothing", "target": "/data", "sheltered": False},),
    )
    (tmp_path / "var/lib/containers/storage/volumes/data").mkdir(parents=True)
    made.script(
        GONE,
        Reply(["podman", "image", "exists", "c" * 64], rc=1),
        Reply(NETWORK, out=recorded("network-inspect.json")),
    )
    result = refused(module, made, path)
    assert reasons(result) == [
        *("criu_too_old", "image_missing", "volume_exists", "address_in_use", "port_in_use", "mount_source_missing")
    ]
    assert result["msg"].endswith(" There are 5 more reasons: see reasons.")
    assert all(one["message"].startswith("Cannot ") and one["remedy"] for one in result["reasons"])


def test_one_reason_alone(module: Any, tmp_path: Path) -> None:
    made, path = archive(tmp_path, image_id="c" * 64)
    made.script(GONE, Reply(["podman", "image", "exists", "c" * 64], rc=1))
    result = refused(module, made, path)
    assert reasons(result) == ["image_missing"] and "more reason" not in result["msg"]


def test_the_name_is_taken_and_more(module: Any, tmp_path: Path) -> None:
    made, path = archive(tmp_path, id="d" * 64, volumes=("data",))
    (tmp_path / "var/lib/containers/storage/volumes/data").mkdir(parents=True)
    made.script(Reply(INSPECT, out=made.inspected("running")))
    result = refused(module, made, path)
    assert reasons(result) == ["name_in_use", "volume_exists"]
    assert result["msg"].endswith(" There is 1 more reason: see reasons.")


def test_the_manifest_of_a_store_is_compared(module: Any, tmp_path: Path) -> None:
    made = world(tmp_path)
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/arch").write_text("aarch64\n")
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/crun").touch()
    folder = store_checkpoint(tmp_path / "store", manifest_of(host=HOST))
    path = folder / "archive.tar.zst"
    text = render_record(record(runtime="crun", size_bytes=path.stat().st_size, sha256=manifest_of().parts[0].sha256))
    path.with_name(f"{path.name}.json").write_text(text)
    path.with_name(f"{path.name}.json").chmod(0o600)
    images = tmp_path / "var/lib/containers/storage/overlay-images"
    images.mkdir(parents=True)
    (images / "images.json").write_text(json.dumps([{"id": record().image_id, "names": ["localhost/w:latest"]}]))
    made.script(GONE, Reply(["podman", "--version"], out=recorded("version.txt")))
    assert reasons(refused(module, made, path)) == ["architecture_mismatch", "cgroup_mismatch"]


def test_a_port_that_the_task_publishes(module: Any, tmp_path: Path, taken: int) -> None:
    made, path = archive(tmp_path, ports=({**PORT, "port": 1},))
    made.script(GONE, Reply(["podman", "--version"], out=recorded("version.txt")))
    result = refused(module, made, path, publish=[f"127.0.0.1:{taken}:80"])
    assert reasons(result) == ["port_in_use"]
    assert f"port {taken}/tcp of 127.0.0.1 is taken" in result["msg"]


def test_several_ports(module: Any, tmp_path: Path, taken: int) -> None:
    made, path = archive(tmp_path, ports=({**PORT, "port": taken}, {**PORT, "port": taken}))
    made.script(GONE)
    assert "and 1 more of its ports are taken" in refused(module, made, path)["msg"]


def test_a_checkpoint_in_place(module: Any, tmp_path: Path, taken: int) -> None:
    made = checkpointed(tmp_path)
    place = tmp_path / f"var/lib/criu-hosts/checkpoints/{ID}.json"
    place.write_text(render_record(record(criu="9.1", ports=({**PORT, "port": taken},))))
    assert reasons(refused(module, made)) == ["criu_too_old", "port_in_use"]


def test_too_little_room(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_archive, "free_bytes", lambda path: 17)
    made, path = archive(tmp_path)
    made.script(GONE)
    result = refused(module, made, path)
    assert reasons(result) == ["disk_full"] and "17 bytes are free" in result["msg"]


def test_an_image_without_its_name(module: Any, tmp_path: Path) -> None:
    made, path = archive(tmp_path)
    images = tmp_path / "var/lib/containers/storage/overlay-images/images.json"
    images.write_text(json.dumps([{"id": record().image_id}]))
    made.script(GONE)
    result = refused(module, made, path)
    assert reasons(result) == ["image_missing"]
    assert f"'podman tag {record().image_id[:12]} localhost/w'" in result["reasons"][0]["remedy"]


def test_no_address_is_asked_for_under_a_new_name(module: Any, tmp_path: Path) -> None:
    made, path = archive(tmp_path, networks={"podman": ["10.88.0.3"]}, image_id="c" * 64)
    inspect = ["podman", "container", "inspect", "copy"]
    made.script(
        Reply(inspect, err=recorded("inspect-no-such.txt"), rc=125),
        Reply(["podman", "image", "exists", "c" * 64], rc=1),
        Reply(NETWORK, out=recorded("network-inspect.json")),
    )
    result = refused(module, made, path, new_name="copy", shared_categories="accept")
    assert reasons(result) == ["image_missing"]
