# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the facts about host and image that a manifest keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container.host_facts import container_host_facts, parse_glibc
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.host_facts import host_facts, lock_of, parse_cpu_features
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import parse_inspect
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.tests.unit.containers import FIXTURES, recorded

LIBC = b"\x7fELF\0GNU C Library (Debian GLIBC 2.41-12) stable release version 2.41.\nCopyright\0"


class Runner:
    """Answers the commands that ask for versions, as the recorded podman does."""

    def run(self, argv: Any, **dummy_options: Any) -> Completed:
        assert argv[1:] == ("--version",)
        return Completed(tuple(argv), 0, "runc version 1.1.15\n" if "runc" in argv[0] else recorded("version.txt"), "")

    def which(self, name: str) -> str | None:
        return f"/usr/bin/{name}"


def put(folder: Path, files: dict[str, str | bytes]) -> Paths:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return Paths(str(folder))


HOST: dict[str, str | bytes] = {
    "proc/sys/kernel/hostname": "one\n",
    "proc/sys/kernel/osrelease": "6.12.57+deb13-amd64\n",
    "proc/sys/kernel/arch": "x86_64\n",
    "proc/cpuinfo": "processor\t: 0\nflags\t\t: sse2 fpu avx2\nbugs\t\t: x\n\nprocessor\t: 1\nflags\t\t: other\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu\n",
}


def test_the_facts_of_a_host(tmp_path: Path) -> None:
    assert host_facts(put(tmp_path, HOST), "4.2.1") == {
        "hostname": "one",
        "architecture": "x86_64",
        "kernel": "6.12.57+deb13-amd64",
        "cpu_features": ("avx2", "fpu", "sse2"),
        "criu": "4.2.1",
        "cgroup_version": 2,
        "network_lock": "",
        "lsm": "none",
        "lsm_mode": "",
    }


def test_a_host_without_the_unified_hierarchy_and_with_selinux(tmp_path: Path) -> None:
    found = host_facts(put(tmp_path, {"sys/fs/selinux/enforce": "0", "sys/fs/selinux/policyvers": "33"}), "")
    assert (found["cgroup_version"], found["lsm"], found["lsm_mode"]) == (1, "selinux", "permissive")
    assert (found["hostname"], found["kernel"], found["cpu_features"]) == ("", "", ())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Features\t: fp asimd sha2\n", ("asimd", "fp", "sha2")),
        ("isa\t\t: rv64imafdc\n", ("rv64imafdc",)),
        ("model name\t: x\n", ()),
        ("", ()),
    ],
)
def test_the_features_of_other_processors(text: str, found: tuple[str, ...]) -> None:
    assert parse_cpu_features(text) == found


def test_the_facts_of_a_container(tmp_path: Path) -> None:
    container = parse_inspect(recorded("inspect-running.json"))
    root = f"proc/{container.pid}/root"
    images = [{"id": "other"}, {"id": container.image_id, "digest": "sha256:" + "c" * 64}]
    place = "var/lib/containers/storage/overlay-images/images.json"
    library = f"{root}/usr/lib/x86_64-linux-gnu/libc.so.6"
    paths = put(tmp_path, {**HOST, library: LIBC, "usr/bin/runc": "", place: json.dumps(images)})
    ctx = Context({}, Runner(), False, paths, 0)
    found = container_host_facts(ctx, Podman(paths, 0), container, "4.2.1")
    assert {key: value for key, value in found.items() if key not in host_facts(paths, "4.2.1")} == {
        "engine": "podman",
        "engine_version": "5.4.2",
        "runtime": "runc",
        "runtime_version": "1.1.15",
        "image_digest": "sha256:" + "c" * 64,
        "glibc": "2.41",
    }


def test_no_link_of_a_container_is_followed(tmp_path: Path) -> None:
    container = parse_inspect(recorded("inspect-running.json"))
    paths = put(tmp_path, {**HOST, "elsewhere/libc.so.6": LIBC})
    lib = tmp_path / f"proc/{container.pid}/root/usr"
    lib.mkdir(parents=True)
    (lib / "lib64").symlink_to(tmp_path / "elsewhere")
    ctx = Context({}, Runner(), False, paths, 0)
    assert container_host_facts(ctx, Podman(paths, 0), container, "4.2.1")["glibc"] == ""


def test_what_is_no_glibc() -> None:
    assert parse_glibc(b"musl libc (x86_64)\nVersion 1.2.5\n") == ""


def test_the_lock_is_that_of_the_dump(tmp_path: Path) -> None:
    images = FIXTURES.parent / "criu"
    assert lock_of(str(images / "4.2.1-images")) == "nftables"
    assert lock_of(str(tmp_path)) == ""
