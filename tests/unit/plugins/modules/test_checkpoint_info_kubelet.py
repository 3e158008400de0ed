# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_info on archives of CRI-O and containerd, made as their sources say around recorded images of CRIU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import read_config_dump
from ansible_collections.criu.hosts.tests.unit.kubelet_archives import ARCHIVES, ID, IMAGE, name_of
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_checkpoint_info import DETAILS, archive

KNOWN = {
    "CRI-O": {"created": "2025-11-07T12:48:41+01:00", "runtime": "runc", "ip": "10.85.0.7, 1100:200::7"},
    "containerd": {"created": "2025-11-07T11:48:41Z", "runtime": "io.containerd.runc.v2", "ip": None},
}


def put(folder: Path, engine: str, **named: str) -> Path:
    make, describe = ARCHIVES[engine]
    path = folder / name_of(**named)
    path.write_bytes(make(describe(**named)))
    return path


@pytest.mark.parametrize("engine", ARCHIVES)
def test_an_archive_of_a_kubelet(module: Any, tmp_path: Path, engine: str) -> None:
    put(tmp_path, engine)
    (found,) = module("checkpoint_info", {"path": str(tmp_path), "detail": DETAILS}).result["checkpoints"]
    expected = {
        "reason": None,
        "engine": engine,
        "container": "counter",
        "pod": "counters",
        "namespace": "default",
        "id": ID,
        "image": IMAGE,
        "checkpointed": "2025-11-07T11:58:58Z",
        "mac": None,
        "mounts": [
            {"destination": "/etc/hosts", "type": "bind", "source": "/var/lib/kubelet/pods/1/etc-hosts"},
        ],
        **KNOWN[engine],
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("engine", ARCHIVES)
def test_its_images_are_read_like_those_of_podman(module: Any, tmp_path: Path, engine: str) -> None:
    """The images are the same, but their order is not: CRI-O writes what describes them last."""
    params = {"detail": DETAILS}
    (podmans,) = module("checkpoint_info", {"path": str(archive("4.2.1")), **params}).result["checkpoints"]
    (found,) = module("checkpoint_info", {"path": str(put(tmp_path, engine)), **params}).result["checkpoints"]
    same = ("checkpoint_size", "lsm", "labels", "thread_count", "locks", "sockets", "memory", "statistics", "processes")
    assert {key: found[key] for key in same} == {key: podmans[key] for key in same}
    assert podmans["pod"] is podmans["namespace"] is None


@pytest.mark.parametrize("engine", ARCHIVES)
def test_no_pod_is_made_up(module: Any, tmp_path: Path, engine: str) -> None:
    make, dummy = ARCHIVES[engine]
    notes: dict[str, Any] = {"io.container.manager": "cri-o"} if engine == "CRI-O" else {}
    (tmp_path / "web.tar").write_bytes(make({"annotations": {**notes, "io.kubernetes.pod.name": ["no", "text"]}}))
    (found,) = module("checkpoint_info", {"path": str(tmp_path / "web.tar")}).result["checkpoints"]
    assert [found[key] for key in ("engine", "container", "pod", "namespace", "ip")] == [engine, *[None] * 4]


def test_names_are_escaped(module: Any, tmp_path: Path) -> None:
    make, describe = ARCHIVES["CRI-O"]
    spec = describe(pod="a\x1b[2J")
    spec["annotations"]["io.kubernetes.cri-o.IP.0"] = "\x1b[31m"
    (tmp_path / "web.tar").write_bytes(make(spec))
    (found,) = module("checkpoint_info", {"path": str(tmp_path / "web.tar")}).result["checkpoints"]
    assert (found["pod"], found["ip"]) == (r"a\x1b[2J", r"\x1b[31m, 1100:200::7")


@pytest.mark.parametrize(("engine", "maker"), [("CRI-O", "CRI-O"), ("containerd", "an engine of Kubernetes")])
def test_podman_is_not_asked_to_restore_it(tmp_path: Path, engine: str, maker: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_config_dump(str(put(tmp_path, engine)))
    assert caught.value.reason == "archive_invalid"
    assert caught.value.message.endswith(
        f": {maker} made it, and podman restores its own archives only. Restore it with that engine."
    )


def test_an_annotation_that_a_user_gave_to_podman_is_none_of_an_engine(tmp_path: Path) -> None:
    make, describe = ARCHIVES["containerd"]
    spec = describe()
    spec["annotations"]["io.container.manager"] = "libpod"
    (tmp_path / "web.tar").write_bytes(make(spec))
    assert read_config_dump(str(tmp_path / "web.tar")).id == ID
