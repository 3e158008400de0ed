# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.features import parse_feature
from ansible_collections.criu.hosts.plugins.module_utils._criu.inspect import (
    find,
    find_all,
    parse_config_error,
    read_config,
    read_lsm,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.names import BOOLEANS
from ansible_collections.criu.hosts.tests.unit.criu_host import link, put


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
    assert parse_config_error(bad) == "criu: unrecognized option '--network-lok'"
    assert parse_config_error(Completed(("criu",), 0, "Version: 4.2.1\n", "")) is None
    assert parse_config_error(Completed(("criu",), 139, "", "")) == "exit status 139"


def test_find_all_takes_the_order_of_a_unit_and_each_file_once(tmp_path: Path) -> None:
    ours = put(tmp_path / "opt/criu-hosts/current/sbin/criu", "x", 0o755)
    link(tmp_path / "usr/local/sbin/criu", ours)
    link(tmp_path / "usr/sbin/criu", ours)
    put(tmp_path / "usr/bin/criu", "y", 0o755)
    put(tmp_path / "usr/local/bin/criu", "not executable")
    assert find_all(Paths(str(tmp_path)), "criu") == [f"{tmp_path}/usr/local/sbin/criu", f"{tmp_path}/usr/bin/criu"]
    assert find(Paths(str(tmp_path)), "crun") is None


def test_read_lsm(tmp_path: Path) -> None:
    off = {"mode": "disabled", "policy": None, "booleans": dict.fromkeys(BOOLEANS)}
    put(tmp_path / "etc/selinux/config", "# SELINUXTYPE= can be\nSELINUX=enforcing\nSELINUXTYPE=default\n")
    nothing = {"enabled": False, "parser": None, "container_profiles": None}
    expected = {"active": None, "ruling": "none", "selinux": off, "apparmor": nothing}
    assert read_lsm(Paths(str(tmp_path))) == expected
    put(tmp_path / "sys/fs/selinux/enforce", "1")
    put(tmp_path / "sys/fs/selinux/booleans/criu_container_restore", "0 0")
    found = read_lsm(Paths(str(tmp_path)))
    assert found["selinux"]["mode"] == "enforcing" and found["selinux"]["policy"] == "default"
    assert found["selinux"]["booleans"] == {**dict.fromkeys(BOOLEANS), "criu_container_restore": "off"}
    assert (found["ruling"], found["apparmor"]) == ("selinux", nothing)
    put(tmp_path / "sys/fs/selinux/enforce", "0")
    found = read_lsm(Paths(str(tmp_path)))
    assert (found["ruling"], found["selinux"]["mode"]) == ("selinux", "permissive")


def test_read_lsm_with_apparmor(tmp_path: Path) -> None:
    put(tmp_path / "sys/module/apparmor/parameters/enabled", "Y\n")
    assert read_lsm(Paths(str(tmp_path)))["apparmor"] == {"enabled": True, "parser": None, "container_profiles": None}
    parser = put(tmp_path / "usr/sbin/apparmor_parser", "", 0o755)
    put(tmp_path / "sys/kernel/security/lsm", b"lockdown,capability,landlock,yama,apparmor,tomoyo,bpf,\xff")
    profiles = "containers-default-0.62.2 (enforce)\ncontainers-default-0.50.1 (complain)\nlab two words (enforce)\n"
    put(tmp_path / "sys/kernel/security/apparmor/profiles", profiles)
    found = read_lsm(Paths(str(tmp_path)))
    assert found["active"] == ["lockdown", "capability", "landlock", "yama", "apparmor", "tomoyo", "bpf", "\ufffd"]
    assert found["ruling"] == "apparmor"
    assert found["apparmor"] == {
        "enabled": True,
        "parser": str(parser),
        "container_profiles": ["containers-default-0.50.1", "containers-default-0.62.2"],
    }


def test_a_read_only_selinuxfs_means_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "etc/selinux/config", "SELINUXTYPE=default\n")
    put(tmp_path / "sys/fs/selinux/enforce", "1")
    put(tmp_path / "sys/fs/selinux/booleans/criu_container_restore", "1 1")
    monkeypatch.setattr("os.statvfs", lambda dummy_path: SimpleNamespace(f_flag=os.ST_RDONLY))
    off = {"mode": "disabled", "policy": None, "booleans": dict.fromkeys(BOOLEANS)}
    found = read_lsm(Paths(str(tmp_path)))
    assert (found["ruling"], found["selinux"]) == ("none", off)


def test_read_config(tmp_path: Path) -> None:
    assert read_config(Paths(str(tmp_path))) == {}
    path = put(tmp_path / "etc/criu/default.conf", b"network-lock nftables # \xff\n")
    put(tmp_path / "etc/criu/README", "x")
    assert read_config(Paths(str(tmp_path))) == {str(path): "network-lock nftables # \ufffd"}
