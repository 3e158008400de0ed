# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what podman's containers are tied to: other containers, pods, processes that exec has started."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman import ties

ID, NET = "a" * 64, "b" * 64


def box(folder: Path, **own: str) -> Container:
    return Container(ID, "dep", "running", 70, "i", "", "runc", "", own={"work_dir": str(folder), **own})


def lists(folder: Path) -> Paths:
    path = folder / "var/lib/containers/storage/overlay-containers/containers.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([{"id": NET, "names": ["net"]}]))
    return Paths(str(folder))


@pytest.mark.parametrize(
    ("own", "reason", "named"),
    [
        ({"dependencies": NET}, "has_dependencies", "'net'"),
        ({"dependencies": NET, "pod": "c" * 64}, "in_pod", repr("c" * 12)),
        ({"pod": "c" * 64}, "in_pod", repr("c" * 12)),
    ],
)
def test_no_archive_of_a_container_that_is_tied(tmp_path: Path, own: Any, reason: str, named: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        ties.check_ties(lists(tmp_path), box(tmp_path, **own), "/var/lib/ck/dep.tar.zst")
    assert caught.value.reason == reason and named in caught.value.message


def test_a_checkpoint_in_place_warns(tmp_path: Path) -> None:
    (warning,) = ties.check_ties(lists(tmp_path), box(tmp_path, dependencies=NET), None)
    assert "'net'" in warning
    assert ties.check_ties(Paths(str(tmp_path)), box(tmp_path), None) == ()
    assert ties.check_ties(Paths(str(tmp_path)), box(tmp_path), "/a") == ()
    assert repr(NET[:12]) in ties.check_ties(Paths(str(tmp_path / "no")), box(tmp_path, dependencies=NET), None)[0]


CONFIG = {"linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/proc/475/ns/net"}]}}


@pytest.mark.parametrize("live", [[], [476]])
def test_a_namespace_that_is_gone_is_refused(tmp_path: Path, live: list[int]) -> None:
    paths, container = lists(tmp_path), box(tmp_path, dependencies=NET)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    ties.require_namespaces(paths, container, [475])
    with pytest.raises(CheckpointError) as caught:
        ties.require_namespaces(paths, container, live)
    assert caught.value.reason == "dependency_restarted" and "'net'" in caught.value.message


@pytest.mark.parametrize("text", ["", "{", '{"linux": []}', '{"linux": {"namespaces": [{"path": "/run/netns/a"}]}}'])
def test_what_is_not_known_is_not_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    ties.require_namespaces(Paths(str(tmp_path)), box(tmp_path), [])


def process(folder: Path, pid: int, parent: int, comm: str, cgroup: str, space: str = "1") -> None:
    base = folder / f"proc/{pid}"
    (base / "ns").mkdir(parents=True)
    (base / "stat").write_text(f"{pid} ({comm}) S {parent} 1 1 0")
    (base / "comm").write_text(f"{comm}\n")
    (base / "cgroup").write_text(f"0::{cgroup}\n")
    (base / "ns/pid").symlink_to(f"pid:[{space}]")
    procs = folder / f"sys/fs/cgroup{cgroup}/cgroup.procs"
    procs.parent.mkdir(parents=True, exist_ok=True)
    with open(procs, "a", encoding="utf-8") as file:
        file.write(f"{pid}\n")


SCOPE = f"/machine.slice/libpod-{ID}.scope"


@pytest.mark.parametrize("cgroup", [SCOPE, f"{SCOPE}/container", f"/libpod_parent/libpod-{ID}", "/user.slice/s.scope"])
def test_processes_that_exec_has_started_are_named(tmp_path: Path, cgroup: str) -> None:
    """In the last case the container has no cgroup of its own: then its pid namespace counts."""
    paths = Paths(str(tmp_path))
    process(tmp_path, 1, 0, "systemd", "/init.scope", "0")
    (tmp_path / "proc/self").symlink_to("1")
    process(tmp_path, 60, 1, "conmon", "/user.slice/s.scope", "0")
    process(tmp_path, 70, 60, "sh", cgroup)
    process(tmp_path, 71, 70, "child", cgroup)
    assert ties.warn_strays(paths, box(tmp_path)) == ()
    process(tmp_path, 80, 1, "conmon", "/user.slice/s.scope", "0")
    process(tmp_path, 81, 80, "a) (b", cgroup)
    process(tmp_path, 82, 81, "sleep", f"{cgroup}/below" if cgroup.startswith(SCOPE) else cgroup)
    (warning,) = ties.warn_strays(paths, box(tmp_path))
    assert "81 ('a) (b'), 82 ('sleep')." in warning and "70 (" not in warning and "80 (" not in warning


def test_a_container_in_the_namespaces_of_the_host_has_no_strays(tmp_path: Path) -> None:
    process(tmp_path, 1, 0, "systemd", "/init.scope")
    (tmp_path / "proc/self").symlink_to("1")
    process(tmp_path, 70, 1, "sh", "/init.scope")
    assert ties.warn_strays(Paths(str(tmp_path)), box(tmp_path)) == ()


def test_a_clone_in_the_cgroup_of_the_original_is_none_of_its_processes(tmp_path: Path) -> None:
    process(tmp_path, 70, 1, "sh", SCOPE)
    process(tmp_path, 90, 1, "clone", SCOPE, "2")
    assert ties.warn_strays(Paths(str(tmp_path)), box(tmp_path)) == ()


def test_many_processes_are_counted(tmp_path: Path) -> None:
    process(tmp_path, 70, 1, "sh", SCOPE)
    for pid in range(81, 89):
        process(tmp_path, pid, 0, "p", SCOPE)
    (warning,) = ties.warn_strays(Paths(str(tmp_path)), box(tmp_path))
    assert "85 ('p') and 3 more." in warning and "86" not in warning


def test_a_process_that_ends_meanwhile_is_not_missed(tmp_path: Path) -> None:
    process(tmp_path, 70, 1, "sh", SCOPE)
    with open(f"{Paths(str(tmp_path)).cgroups}{SCOPE}/cgroup.procs", "a", encoding="utf-8") as file:
        file.write("99\n")
    assert not os.path.exists(tmp_path / "proc/99")
    assert ties.warn_strays(Paths(str(tmp_path)), box(tmp_path)) == ()
