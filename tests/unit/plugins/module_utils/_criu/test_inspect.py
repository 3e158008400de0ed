# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._criu import inspect as criu
from ansible_collections.criu.hosts.plugins.module_utils._criu.features import parse_feature
from ansible_collections.criu.hosts.plugins.module_utils._engines.runtimes import judge_crun, judge_runc
from ansible_collections.criu.hosts.plugins.module_utils._formats.file_capabilities import parse_capabilities
from ansible_collections.criu.hosts.tests.unit.criu_host import link, put

# setcap cap_checkpoint_restore,cap_setpcap+eip, as the kernel stores it (version 2 and, with a root user id, 3)
REVISION_2 = struct.pack("<IIIII", 0x02000001, 1 << 8, 1 << 8, 1 << 8, 1 << 8)
REVISION_3 = struct.pack("<IIIIII", 0x03000001, 1 << 8, 0, 1 << 8, 0, 100000)
REVISION_1 = struct.pack("<III", 0x01000000, 1 << 21, 0)


@pytest.mark.parametrize(
    ("fixture", "version"),
    [
        ("criu/4.2.1-version.txt", "4.2.1"),
        ("criu/4.1.1-version.txt", "4.1.1"),
        ("crun/1.21-version.txt", "1.21"),
        ("runc/1.1.15-version.txt", "1.1.15"),
        ("podman/5.4.2-version.txt", "5.4.2"),
    ],
)
def test_parse_version(fixture: str, version: str, fixture_text: Callable[[str], str]) -> None:
    assert criu.parse_version(fixture_text(fixture)) == version


@pytest.mark.parametrize(
    ("version", "number"), [("4.2.1", 40201), ("3.17", 31700), ("4.3", 40300), (None, None)], ids=str
)
def test_version_number(version: str | None, number: int | None) -> None:
    assert criu.version_number(version) == number


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            REVISION_2,
            {
                "effective": True,
                "permitted": ["cap_setpcap", "cap_checkpoint_restore"],
                "inheritable": ["cap_setpcap", "cap_checkpoint_restore"],
            },
            id="revision-2",
        ),
        pytest.param(
            REVISION_3,
            {"effective": True, "permitted": ["cap_setpcap", "cap_checkpoint_restore"], "inheritable": []},
            id="3",
        ),
        pytest.param(
            REVISION_1, {"effective": False, "permitted": ["cap_sys_admin"], "inheritable": []}, id="revision-1"
        ),
        pytest.param(
            struct.pack("<IIIII", 0x02000000, 0, 0, 1 << 31, 0),
            {"effective": False, "permitted": ["cap_63"], "inheritable": []},
            id="capability-of-the-future",
        ),
        pytest.param(b"", None, id="none"),
        pytest.param(REVISION_2[:12], None, id="cut-off"),
        pytest.param(b"\0\0\0\x09" + bytes(16), None, id="revision-9"),
    ],
)
def test_parse_capabilities(data: bytes, expected: dict[str, Any] | None) -> None:
    assert parse_capabilities(data) == expected


def test_parse_feature(fixture_text: Callable[[str], str]) -> None:
    unknown = Completed(("criu",), 1, "", fixture_text("criu/4.2.1-check-unknown-feature.stderr.txt"))
    assert parse_feature(unknown) is None
    denied = Completed(("criu",), 1, "", fixture_text("criu/4.2.1-check-enforcing-without-policy.stderr.txt"))
    assert parse_feature(denied) is None
    assert parse_feature(Completed(("criu",), 0, "mnt_id is supported\n", "")) is True
    assert parse_feature(Completed(("criu",), 1, "", "Error (criu/mount.c:381): mnt: No parent found\n")) is False


def test_parse_config_error(fixture_text: Callable[[str], str]) -> None:
    bad = Completed(
        ("criu",), 1, fixture_text("criu/4.2.1-bad-config.stdout.txt"), fixture_text("criu/4.2.1-bad-config.stderr.txt")
    )
    assert criu.parse_config_error(bad) == "criu: unrecognized option '--network-lok'"
    assert criu.parse_config_error(Completed(("criu",), 0, "Version: 4.2.1\n", "")) is None
    assert criu.parse_config_error(Completed(("criu",), 139, "", "")) == "exit status 139"


@pytest.mark.parametrize(
    ("text", "value"),
    [pytest.param("1 1", "on"), pytest.param("0 1", "off", id="pending-on"), pytest.param(None, None, id="missing")],
)
def test_parse_boolean(text: str | None, value: str | None) -> None:
    assert criu.parse_boolean(text) == value


def test_judge_crun(fixture_text: Callable[[str], str]) -> None:
    output = fixture_text("crun/1.21-version.txt")
    assert judge_crun(output, "/usr/sbin/criu", None) is None
    assert judge_crun(output, None, None) == "criu is not in PATH"
    assert "libcriu2 (Debian)" in str(judge_crun(output, "/usr/sbin/criu", "cannot open shared object file"))
    assert "without CRIU" in str(judge_crun(output.replace("+CRIU ", ""), "/usr/sbin/criu", None))
    assert judge_crun(None, "/usr/sbin/criu", None) == "crun is not installed"


@pytest.mark.parametrize(
    ("version", "path", "why"),
    [
        ("1.1.15", "/usr/sbin/criu", None),
        ("1.1.15", None, "criu is not in PATH"),
        (None, None, "runc is not installed"),
    ],
)
def test_judge_runc(version: str | None, path: str | None, why: str | None) -> None:
    assert judge_runc(version, path) == why


def test_find_all_takes_the_order_of_a_unit_and_each_file_once(tmp_path: Path) -> None:
    ours = put(tmp_path / "opt/criu-hosts/current/sbin/criu", "x", 0o755)
    link(tmp_path / "usr/local/sbin/criu", ours)
    link(tmp_path / "usr/sbin/criu", ours)
    put(tmp_path / "usr/bin/criu", "y", 0o755)
    put(tmp_path / "usr/local/bin/criu", "not executable")
    assert criu.find_all(str(tmp_path), "criu") == [f"{tmp_path}/usr/local/sbin/criu", f"{tmp_path}/usr/bin/criu"]
    assert criu.find(str(tmp_path), "crun") is None


def test_read_lsm(tmp_path: Path) -> None:
    off = {"mode": "disabled", "policy": None, "booleans": dict.fromkeys(criu.BOOLEANS)}
    put(tmp_path / "etc/selinux/config", "# SELINUXTYPE= can be\nSELINUX=enforcing\nSELINUXTYPE=default\n")
    assert criu.read_lsm(str(tmp_path)) == {"selinux": off, "apparmor": False}
    put(tmp_path / "sys/fs/selinux/enforce", "1")
    put(tmp_path / "sys/fs/selinux/booleans/criu_container_restore", "0 0")
    put(tmp_path / "sys/module/apparmor/parameters/enabled", "Y\n")
    found = criu.read_lsm(str(tmp_path))
    assert found["selinux"]["mode"] == "enforcing" and found["selinux"]["policy"] == "default"
    assert found["selinux"]["booleans"] == {**dict.fromkeys(criu.BOOLEANS), "criu_container_restore": "off"}
    assert found["apparmor"] is True
    put(tmp_path / "sys/fs/selinux/enforce", "0")
    assert criu.read_lsm(str(tmp_path))["selinux"]["mode"] == "permissive"
