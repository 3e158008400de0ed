# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts as the kernel lists them: escapes, optional fields, deleted roots, stacks, peers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.mounts import (
    Mount,
    covering,
    exposed,
    location,
    parse_mounts,
    read_mounts,
    resolve,
)
from ansible_collections.criu.hosts.tests.unit.containers import recorded

ROOT = "10 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"


def ids(text: str, folder: str) -> list[int]:
    return [mount.id for mount in exposed(parse_mounts(ROOT + text), folder)]


LINES = [
    pytest.param("20 10 0:9 / /srv/t rw - tmpfs t rw", Mount(20, 10, "0:9", "/", "/srv/t", "tmpfs"), id="no-optional"),
    pytest.param(
        "20 10 0:9 / /srv/t rw shared:7 master:1 propagate_from:2 - tmpfs t rw",
        Mount(20, 10, "0:9", "/", "/srv/t", "tmpfs", True),
        id="shared-and-slave",
    ),
    pytest.param("20 10 0:9 / /t rw master:1 - tmpfs t rw", Mount(20, 10, "0:9", "/", "/t", "tmpfs"), id="only-slave"),
    pytest.param("20 10 0:9 / /t rw unbindable - tmpfs t rw", Mount(20, 10, "0:9", "/", "/t", "tmpfs"), id="unbound"),
    pytest.param(
        r"20 10 0:9 /a\040b\134c//deleted /t\011\012x rw - tmpfs t rw",
        Mount(20, 10, "0:9", "/a b\\c//deleted", "/t\t\nx", "tmpfs"),
        id="escapes",
    ),
    pytest.param("20 10 0:9 / /- rw - - tmpfs rw", Mount(20, 10, "0:9", "/", "/-", "-"), id="dashes-as-names"),
    pytest.param(
        r"20 10 0:9 / /t rw - fuse.a\040b x rw", Mount(20, 10, "0:9", "/", "/t", r"fuse.a\040b"), id="subtype-of-others"
    ),
    pytest.param("20 10 0:9 / /t rw shared:1", None, id="no-separator"),
    pytest.param("20 10 0:9 / /t rw -", None, id="no-type"),
    pytest.param("20 10 0:9 / /t rw", None, id="cut-off"),
    pytest.param("x 10 0:9 / /t rw - tmpfs t rw", None, id="no-number"),
    pytest.param("20 10 0:9 / (unreachable)/t rw - tmpfs t rw", None, id="not-reachable"),
    pytest.param("", None, id="empty"),
]


@pytest.mark.parametrize("line, mount", LINES)
def test_a_line_is_read_as_the_kernel_means_it(line: str, mount: Mount | None) -> None:
    assert parse_mounts(line) == ([] if mount is None else [mount])


def test_a_recorded_deleted_root_is_seen() -> None:
    before, after = (parse_mounts(recorded(f"mountinfo-container{one}.txt")) for one in ("", "-replaced"))
    assert [one.point for one in before if one.is_deleted] == []
    assert [(one.point, one.root) for one in after if one.is_deleted] == [
        ("/etc/app.conf", "/srv/conf/app.conf//deleted")
    ]


def test_a_path_is_on_the_mount_that_is_on_top() -> None:
    text = "20 10 0:2 / /srv/a rw - tmpfs a rw\n30 10 0:3 / /srv rw - tmpfs b rw\n40 30 0:4 / /srv rw - tmpfs c rw\n"
    mounts = parse_mounts(ROOT + text)
    # The first is hidden by the second, the second by the third.
    assert [getattr(covering(mounts, path), "id", None) for path in ("/srv/a/x", "/srv", "/srvx", "/")] == [
        40,
        40,
        10,
        10,
    ]


def test_a_location_is_what_a_bind_of_the_path_shows() -> None:
    host, inside = (parse_mounts(recorded(f"mountinfo-{one}.txt")) for one in ("host", "container"))
    shown = {one.point: (one.device, one.root) for one in inside}
    for source, target in (("/srv/conf/app.conf", "/etc/app.conf"), ("/srv/t/a b", "/t"), ("/srv/real", "/data")):
        assert location(host, source) == shown[target]


def test_nothing_is_said_about_incomplete_mounts() -> None:
    mounts = parse_mounts("20 10 0:2 / /srv rw - tmpfs a rw\n")
    assert covering(mounts, "/srv") is None and location(mounts, "/srv") is None and not list(exposed(mounts, "/srv"))


def test_parents_in_a_circle_are_no_endless_walk() -> None:
    text = "20 30 0:2 / /srv rw shared:1 - tmpfs a rw\n30 20 0:3 / /srv rw shared:1 - tmpfs b rw\n"
    assert covering(parse_mounts(ROOT + text), "/srv/x") == parse_mounts(ROOT)[0]
    own = parse_mounts("10 10 8:1 / / rw shared:1 - ext4 d rw\n20 20 0:2 / /srv/x rw shared:1 - tmpfs a rw\n")
    assert list(exposed(own, "/srv")) == []


EXPOSED = [
    pytest.param("20 10 0:2 / /srv/x rw shared:2 - tmpfs a rw\n", "/srv", [20], id="below-a-shared-mount"),
    pytest.param("20 10 0:2 / /srv/x rw - tmpfs a rw\n", "/srv", [20], id="the-parent-counts"),
    pytest.param("20 10 0:2 / /srv/x rw shared:2 - tmpfs a rw\n", "/srv/x", [], id="at-the-folder-itself"),
    pytest.param("20 10 0:2 / /srvx rw shared:2 - tmpfs a rw\n", "/srv", [], id="beside-it"),
    pytest.param("20 10 0:2 / /srv rw - tmpfs a rw\n30 20 0:3 / /srv/x rw - tmpfs b rw\n", "/srv", [], id="private"),
    pytest.param(
        "20 10 0:2 / /srv rw - tmpfs a rw\n30 20 0:3 / /srv/x rw shared:4 - tmpfs b rw\n"
        "40 30 0:4 / /srv/x/y rw - tmpfs c rw\n",
        "/srv",
        [40],
        id="deeper-below-a-shared-one",
    ),
    pytest.param("20 10 0:2 / /srv/x rw - tmpfs a rw\n", "/", [20], id="the-whole-host"),
    pytest.param(
        "20 10 0:2 / /srv/x rw - tmpfs a rw\n30 10 0:3 / /srv rw - tmpfs b rw\n", "/srv", [], id="hidden-by-another"
    ),
]


@pytest.mark.parametrize("text, folder, found", EXPOSED)
def test_exposed_mounts(text: str, folder: str, found: list[int]) -> None:
    assert ids(text, folder) == found


def test_the_recorded_mount_below_a_source_is_exposed() -> None:
    mounts = parse_mounts(recorded("mountinfo-host-below.txt"))
    assert [one.point for one in exposed(mounts, "/srv/t/a b")] == ["/srv/t/a b/disk"]
    assert list(exposed(parse_mounts(recorded("mountinfo-host.txt")), "/srv/t/a b")) == []


def test_a_process_that_has_ended_has_no_mounts(tmp_path: Path) -> None:
    assert read_mounts(Paths(str(tmp_path)), 7) == []


def test_links_are_followed_below_the_root_of_the_host(tmp_path: Path) -> None:
    (tmp_path / "srv/real").mkdir(parents=True)
    os.symlink("real", tmp_path / "srv/link")
    paths = Paths(str(tmp_path))
    assert resolve(paths, "/srv/link/x") == "/srv/real/x"
    assert resolve(paths, "/srv/none") == "/srv/none"
    assert resolve(Paths(), "/") == "/"
