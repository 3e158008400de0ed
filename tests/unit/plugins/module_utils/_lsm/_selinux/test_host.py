# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests which policy store a host has."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.host import read_host


@pytest.mark.parametrize("policy", ["\0targeted", "x" * 5000, "../\udcff"])
def test_a_policy_type_that_no_folder_can_have_has_no_store(tmp_path: Path, policy: str) -> None:
    config = tmp_path / "etc/selinux/config"
    config.parent.mkdir(parents=True)
    config.write_bytes(f"SELINUX=enforcing\nSELINUXTYPE={policy}\n".encode("utf-8", "surrogateescape"))
    assert read_host(Paths(str(tmp_path))).store is None
