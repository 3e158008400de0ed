# SPDX-License-Identifier: GPL-3.0-or-later
"""Policy modules in files: what is none is refused in one line."""

from __future__ import annotations

import bz2
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux import module_store
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.host import SelinuxHost
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.module_store import read_module, read_source
from ansible_collections.criu.hosts.tests.unit.tars import zeros

KINDS = [
    pytest.param(os.mkfifo, id="pipe"),
    pytest.param(lambda path: path.symlink_to("/dev/zero"), id="device"),
    pytest.param(lambda path: path.write_bytes(zeros("bzip2", 4)), id="bomb"),
    pytest.param(lambda path: path.write_bytes(bz2.compress(b"(type a)")[:-4]), id="cut-off"),
    pytest.param(lambda path: path.write_bytes(b"BZh9" + bytes(90)), id="damaged"),
]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_store, "MODULE_LIMIT", 1 << 20)


@pytest.mark.parametrize("make", KINDS)
def test_source_that_is_none(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "web.cil")
    with pytest.raises(CheckpointError) as caught:
        read_source(str(tmp_path / "web.cil"), "web")
    assert caught.value.reason == "policy_invalid" and caught.value.message.isprintable()


@pytest.mark.parametrize("make", KINDS)
def test_stored_module_that_is_none(tmp_path: Path, make: Any) -> None:
    place = tmp_path / "modules/400/web"
    place.mkdir(parents=True)
    (tmp_path / "modules/\u00b2").mkdir()
    (place / "lang_ext").write_text("cil")
    make(place / "cil")
    host = SelinuxHost(Paths(str(tmp_path)), "disabled", "default", str(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        read_module(host, "web")
    assert caught.value.reason == "policy_invalid" and caught.value.message.isprintable()


def test_compressed_source(tmp_path: Path) -> None:
    (tmp_path / "web.cil").write_bytes(bz2.compress(b"(type a)"))
    assert read_source(str(tmp_path / "web.cil"), "web").data == b"(type a)"
