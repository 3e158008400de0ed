# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests one interface to labels of threads, sockets and mounts, for SELinux, AppArmor and hosts without either."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host import paths
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import NoLabels, host_labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.object_labels import Traces, read_traces
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import read_threads
from ansible_collections.criu.hosts.tests.unit.containers import LABEL, world
from ansible_collections.criu.hosts.tests.unit.harness import PLACE

PROFILE = "containers-default-0.62.2 (enforce)"


def apparmor(folder: Path, *, enabled: str = "Y", stacked: bool = True) -> None:
    """A host with AppArmor; ``stacked``: the kernel has a folder of attributes for each LSM (Linux 5.8)."""
    made = world(folder, selinux="disabled")
    made.process(70, [f"{PROFILE}\n"] * 2)
    parameters = folder / "sys/module/apparmor/parameters"
    parameters.mkdir(parents=True)
    (parameters / "enabled").write_text(f"{enabled}\n")
    for task in (folder / "proc/70/task").iterdir():
        (task / "attr/current").write_text(f"{PROFILE}\n")
        if stacked:
            (task / "attr/apparmor").mkdir()
            (task / "attr/apparmor/current").write_text(f"{PROFILE}\n")
            (task / "attr/current").write_text("of another LSM\n")


@pytest.mark.parametrize("stacked", [True, False])
def test_apparmor(tmp_path: Path, stacked: bool) -> None:
    apparmor(tmp_path, stacked=stacked)
    labels = host_labels(PLACE.paths)
    assert labels.lsm == "apparmor"
    assert [(one.label, one.sockcreate) for one in read_threads(PLACE.paths, 70, labels)] == [(PROFILE, None)] * 2
    assert read_traces(PLACE.paths, [70], labels) == Traces()


def test_apparmor_is_not_asked_for_the_label_of_new_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # AppArmor answers EINVAL there (Debian 13, kernel 6.12).
    apparmor(tmp_path)
    reader = paths.read_bytes

    def read(path: str, **options: Any) -> Any:
        if path.endswith("sockcreate"):
            raise OSError(errno.EINVAL, "Invalid argument", path)
        return reader(path, **options)

    monkeypatch.setattr(paths, "read_bytes", read)
    assert len(read_threads(PLACE.paths, 70, host_labels(PLACE.paths))) == 2


def test_selinux(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.process(70, [LABEL])
    labels = host_labels(PLACE.paths)
    assert labels.lsm == "selinux"
    assert [one.label for one in read_threads(PLACE.paths, 70, labels)] == [LABEL]


@pytest.mark.parametrize("enabled", ["N", ""])
def test_host_without_labels(tmp_path: Path, enabled: str) -> None:
    apparmor(tmp_path, enabled=enabled)
    labels = host_labels(PLACE.paths)
    assert isinstance(labels, NoLabels) and labels.lsm == "none"
    assert [(one.label, one.sockcreate) for one in read_threads(PLACE.paths, 70, labels)] == [("", None)] * 2
    assert read_traces(PLACE.paths, [70], labels) == Traces()


def test_a_host_without_labels_is_not_asked_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A kernel without an LSM answers EINVAL there (kernel 6.18).
    apparmor(tmp_path, enabled="N")
    reader = paths.read_bytes

    def read(path: str, **options: Any) -> Any:
        if path.endswith("attr/current"):
            raise OSError(errno.EINVAL, "Invalid argument", path)
        return reader(path, **options)

    monkeypatch.setattr(paths, "read_bytes", read)
    assert [one.label for one in read_threads(PLACE.paths, 70, host_labels(PLACE.paths))] == [""] * 2
