# SPDX-License-Identifier: GPL-3.0-or-later
"""Which OCI runtimes podman knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.runtimes import parse_runtimes, read_runtimes
from ansible_collections.criu.hosts.tests.unit.containers import CONFIGURED, configure


def test_configured_runtimes() -> None:
    assert parse_runtimes(CONFIGURED) == {
        "own": ("/opt/own/runtime", "/usr/local/own"),
        "crun": ("/opt/crun",),
        "/opt/default/crun": ("/opt/default/crun",),
    }


@pytest.mark.parametrize("text", ["", "[", "[engine.runtimes]", "[engine.runtimes]\nx = [", "x = ['/a']", "\udcff\0"])
def test_configuration_without_runtimes(text: str) -> None:
    assert parse_runtimes(text) == {}


def test_later_files_replace_paths(tmp_path: Path) -> None:
    configure(tmp_path)
    more = tmp_path / "etc/containers/containers.conf.d"
    more.mkdir()
    (more / "20.conf").write_text("[engine.runtimes]\nown = ['/opt/second']\n")
    (more / "10.conf").write_text("[engine.runtimes]\nown = ['/opt/first']\n")
    (more / "30.off").write_text("[engine.runtimes]\nown = ['/evil']\n")
    found = read_runtimes(Paths(str(tmp_path)))
    assert found["own"] == ("/opt/second",) and "/usr/bin/runc" in found["runc"]
