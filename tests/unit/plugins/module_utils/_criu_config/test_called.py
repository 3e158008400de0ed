# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CRIU each caller of a host runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.called import find_criu, read_callers
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.callers import BY_NAME


def put_program(folder: Path, path: str) -> None:
    file = folder / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(path, encoding="utf-8")
    file.chmod(0o755)


def put_service(folder: Path, unit: str, pid: int, environment: str) -> None:
    """Makes a service with one process."""
    for path, text in (
        (f"sys/fs/cgroup/system.slice/{unit}/cgroup.procs", f"{pid}\n"),
        (f"proc/{pid}/environ", environment),
    ):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(text, encoding="utf-8")


def criu_of(folder: Path, name: str) -> str | None:
    found = find_criu(Paths(str(folder)), BY_NAME[name])
    return None if found is None else found.removeprefix(str(folder))


@pytest.fixture(name="both")
def both_fixture(tmp_path: Path) -> Path:
    put_program(tmp_path, "/usr/local/sbin/criu")
    put_program(tmp_path, "/usr/sbin/criu")
    return tmp_path


def test_a_service_that_does_not_run_gets_the_path_of_systemd(both: Path) -> None:
    assert [criu_of(both, name) for name in ("criu", "docker_runc", "crio_crun")] == ["/usr/local/sbin/criu"] * 3


def test_the_path_of_a_service_that_runs_counts(both: Path) -> None:
    put_service(both, "containerd.service", 7, "LANG=C\0PATH=relative:/usr/sbin:/usr/local/sbin\0")
    assert criu_of(both, "containerd_runc") == criu_of(both, "docker_runc") == "/usr/sbin/criu"
    assert criu_of(both, "crio_runc") == criu_of(both, "podman_runc") == "/usr/local/sbin/criu"


def test_docker_with_a_containerd_of_its_own(both: Path) -> None:
    put_service(both, "docker.service", 8, "PATH=/opt/bin\0")
    assert criu_of(both, "docker_runc") is None
    put_program(both, "/opt/bin/criu")
    assert criu_of(both, "docker_runc") == "/opt/bin/criu"
    assert criu_of(both, "containerd_runc") == "/usr/local/sbin/criu"


def test_a_service_without_a_path(both: Path) -> None:
    put_service(both, "crio.service", 9, "LANG=C\0")
    assert criu_of(both, "crio_runc") == "/usr/local/sbin/criu"


def test_only_what_is_on_the_host(both: Path) -> None:
    for path in ("/usr/sbin/dockerd", "/usr/bin/containerd", "/usr/sbin/runc", "/usr/bin/lxc-checkpoint"):
        put_program(both, path)
    found = read_callers(Paths(str(both)))
    assert [one["name"] for one in found] == ["criu", "runc", "docker_runc", "containerd_runc", "lxc"]
    assert found[2] == {
        "name": "docker_runc",
        "program": f"{both}/usr/sbin/dockerd",
        "criu": f"{both}/usr/local/sbin/criu",
    }
    assert read_callers(Paths(str(both / "nothing"))) == []
