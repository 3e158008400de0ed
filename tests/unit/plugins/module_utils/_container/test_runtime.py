# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program an archive may have podman run as the OCI runtime."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.runtime import require_runtime
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.tests.unit.containers import CONFIGURED, configure

USER = 65534


@dataclass
class Host:
    """A runner that has programs in PATH, on a host in a folder."""

    paths: Paths
    programs: tuple[str, ...] = ()

    @property
    def runner(self) -> Host:
        return self

    def which(self, name: str) -> str | None:
        return f"/usr/bin/{name}" if name in self.programs else None


def judge(folder: Path, runtime: str, *programs: str, archive: str | None = "/a/web.tar") -> str:
    """Returns the reason of the refusal; empty if the runtime is accepted."""
    host = cast(Any, Host(Paths(str(folder)), programs))
    try:
        require_runtime(host, Podman(Paths(str(folder))), Desired("web", archive, Options()), runtime)
    except CheckpointError as error:
        return error.reason
    return ""


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("runtime", ["crun", "runc", ""])
def test_names_of_installed_runtimes(tmp_path: Path, runtime: str) -> None:
    assert judge(tmp_path, runtime, "crun", "runc") == ""


@pytest.mark.parametrize("runtime", ["crun", "bash", "own", "--help", "crun2", "."])
def test_names_that_podman_does_not_know_or_have(tmp_path: Path, runtime: str) -> None:
    assert judge(tmp_path, runtime, "bash", "own", "--help", "crun2", ".") == "archive_runtime_missing"


def test_name_that_is_configured_outside_of_path(tmp_path: Path) -> None:
    configure(tmp_path)
    assert judge(tmp_path, "own") == "archive_runtime_missing"
    program(tmp_path / "opt/own/runtime")
    assert judge(tmp_path, "own") == ""


@pytest.mark.parametrize("runtime", ["/usr/bin/crun", "/usr/local/sbin/runc", "/opt/own/runtime", "/opt/default/crun"])
def test_paths_that_podman_knows(tmp_path: Path, runtime: str) -> None:
    configure(tmp_path, CONFIGURED.replace('"crun" =', '"other" ='))
    assert judge(tmp_path, runtime) == "archive_runtime_missing"
    program(Path(f"{tmp_path}{runtime}"))
    assert judge(tmp_path, runtime) == ""


@pytest.mark.parametrize(
    "runtime",
    [
        "/evil/crun",
        "/usr/bin/bash",
        "/usr/bin/../bin/crun",
        "/usr/bin//crun",
        "/",
        "./crun",
        "bin/crun",
        "/evil/inside",
    ],
)
def test_other_paths(tmp_path: Path, runtime: str) -> None:
    configure(tmp_path)
    program(Path(f"{tmp_path}/usr/bin/crun"))
    assert judge(tmp_path, runtime, "crun") == "archive_invalid"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("owned", ["usr/bin/crun", "usr/bin"])
def test_known_path_of_a_user(tmp_path: Path, owned: str) -> None:
    program(tmp_path / "usr/bin/crun")
    os.chown(tmp_path / owned, USER, USER)
    assert judge(tmp_path, "/usr/bin/crun") == "archive_invalid"


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_known_path_that_others_can_write(tmp_path: Path, mode: int) -> None:
    program(tmp_path / "usr/bin/crun").chmod(mode)
    assert judge(tmp_path, "/usr/bin/crun") == "archive_invalid"


def test_the_engine_has_chosen_the_runtime_in_place(tmp_path: Path) -> None:
    program(tmp_path / "opt/x/runtime")
    assert judge(tmp_path, "/opt/x/runtime", archive=None) == ""
    assert judge(tmp_path, "/opt/y/runtime", archive=None) == "archive_runtime_missing"
