# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests reading and comparing the labels of sockets and mounts, and those for new sockets of threads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman import losses
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.losses import unlabelled_warning
from ansible_collections.criu.hosts.plugins.module_utils._lsm import object_labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux import labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.labels import SelinuxLabels, parse_mounts
from ansible_collections.criu.hosts.plugins.module_utils._lsm.object_labels import (
    Traces,
    compare_sockcreate,
    compare_traces,
    from_record,
    read_traces,
    to_record,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread
from ansible_collections.criu.hosts.tests.unit.containers import LABEL, world
from ansible_collections.criu.hosts.tests.unit.harness import PLACE

FILE = "system_u:object_r:container_file_t:s0:c441,c720"
OTHER = "unconfined_u:unconfined_r:unconfined_t:s0"
MOUNTS = f"""\
700 600 0:50 / / rw,relatime - overlay overlay rw,context="{FILE}",lowerdir=/l/A:/l/B,upperdir=/u
701 700 0:51 / /dev rw,nosuid - tmpfs tmpfs rw,context="{FILE}",rootcontext=system_u:object_r:x_t:s0,size=64k
702 700 0:52 / /proc rw - proc proc rw
703 701 0:53 / /dev/pts rw - devpts devpts rw,seclabel,gid=5
"""


def test_contexts_of_mounts() -> None:
    assert parse_mounts(MOUNTS) == {
        "/": f"context={FILE}",
        "/dev": f"context={FILE},rootcontext=system_u:object_r:x_t:s0",
    }


def test_what_is_mounted_over_a_folder_hides_it() -> None:
    assert parse_mounts(MOUNTS + "704 700 0:54 / /dev rw - tmpfs tmpfs rw,seclabel\n") == {"/": f"context={FILE}"}


def test_reads_sockets_and_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(tmp_path)
    made.process(100, [LABEL], inner=7)
    (tmp_path / "proc/100/mountinfo").write_text(MOUNTS)
    descriptors = tmp_path / "proc/100/fd"
    descriptors.mkdir()
    (descriptors / "1").symlink_to("pipe:[5]")
    (descriptors / "4").symlink_to("socket:[9]")
    known = {"security.selinux": LABEL, "system.sockprotoname": "TCP"}
    for one in (object_labels, labels):
        monkeypatch.setattr(one, "read_xattr", lambda dummy_path, name: known[name])
    traces = read_traces(PLACE.paths, [100], SelinuxLabels())
    assert traces.sockets == {"7:4": ("TCP", LABEL)}
    assert set(traces.mounts) == {"/", "/dev"}
    assert from_record(json.loads(json.dumps(to_record(traces)))) == traces


def test_a_kernel_that_tells_no_label(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.process(100, [LABEL])
    assert read_traces(PLACE.paths, [100], SelinuxLabels()) == read_traces(PLACE.paths, [], SelinuxLabels()) == Traces()


@pytest.mark.parametrize("entry", [None, (), {"sockets": 5}, {"sockets": {"1:3": ["x"]}, "mounts": {}}])
def test_a_record_without_them(entry: object) -> None:
    assert from_record(entry) == Traces()


BEFORE = Traces({"1:4": ("UNIX-STREAM", LABEL), "1:5": ("TCP", LABEL)}, {"/": f"context={FILE}"})


@pytest.mark.parametrize(
    ("after", "found"),
    [
        pytest.param(BEFORE, [], id="the-same"),
        pytest.param(Traces(), [], id="nothing-is-there-any-more"),
        pytest.param(Traces({"1:4": ("UNIX-STREAM", OTHER)}), [("socket", False)], id="crius-label-on-a-unix-socket"),
        pytest.param(Traces({"1:5": ("UDP", OTHER)}), [], id="another-socket-took-the-descriptor"),
        pytest.param(Traces({"1:9": ("TCP", OTHER)}), [], id="a-new-socket"),
        pytest.param(Traces({}, {"/": "context=x:y:z:s0:c1,c2"}), [("mount", True)], id="another-containers-files"),
        pytest.param(Traces({}, {"/new": "context=x:y:z:s0:c1,c2"}), [], id="a-new-mount"),
    ],
)
def test_compare(after: Traces, found: list[tuple[str, bool]]) -> None:
    assert [(one.kind, one.grave) for one in compare_traces(BEFORE, after)] == found


def thread(sockcreate: str | None) -> Thread:
    return Thread("1", "6", "a", LABEL, sockcreate)


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        pytest.param("", "", 0, id="none"),
        pytest.param(OTHER, OTHER, 0, id="kept"),
        pytest.param(OTHER, "", 1, id="lost"),
        pytest.param("", OTHER, 1, id="crius-own-left-behind"),
        pytest.param(None, OTHER, 0, id="not-recorded"),
        pytest.param(OTHER, None, 0, id="not-readable-now"),
    ],
)
def test_sockcreate(before: str | None, after: str | None, count: int) -> None:
    assert len(compare_sockcreate([thread(before)], [thread(after)])) == count


def test_containers_that_share_a_label(tmp_path: Path) -> None:
    world(tmp_path)
    folder = tmp_path / "var/lib/containers/storage/overlay-containers"
    flags = {"ProcessLabel": LABEL}
    entries = [
        {"id": "a" * 64, "names": ["web"], "flags": flags},
        {"id": "b" * 64, "names": None, "flags": flags},
        {"id": "c" * 64, "names": ["db"], "flags": {"ProcessLabel": OTHER}},
        {"id": "d" * 64, "names": ["off"]},
    ]
    (folder / "containers.json").write_text(json.dumps(entries))
    assert Podman(PLACE.paths).sharing(LABEL) == ("web", "b" * 12)
    assert Podman(PLACE.paths).sharing("system_u:system_r:spc_t:s0") == Podman(PLACE.paths).sharing("") == ()


@pytest.mark.parametrize(
    ("label", "enabled", "told"),
    [
        pytest.param("system_u:object_r:unlabeled_t:s0", True, True, id="made-without-selinux"),
        pytest.param("system_u:object_r:container_var_lib_t:s0", True, False, id="right"),
        pytest.param("", True, False, id="no-label-at-all"),
        pytest.param("system_u:object_r:unlabeled_t:s0", False, False, id="selinux-off"),
    ],
)
def test_unlabelled_storage(monkeypatch: pytest.MonkeyPatch, label: str, enabled: bool, told: bool) -> None:
    monkeypatch.setattr(losses, "read_xattr", lambda dummy_path, dummy_name: label)
    warnings = unlabelled_warning("/storage" if enabled else "")
    assert len(warnings) == told and all("restorecon" in one for one in warnings)
