# SPDX-License-Identifier: GPL-3.0-or-later
"""Which AppArmor profiles the kernel has, and which of those that threads had are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.loaded import (
    find_missing,
    missing_error,
    profiles_of,
    read_loaded,
    single_profiles,
)
from ansible_collections.criu.hosts.tests.unit.apparmor import OWN, list_path, with_apparmor
from ansible_collections.criu.hosts.tests.unit.harness import put_host


@pytest.mark.parametrize(
    ("label", "names"),
    [
        (f"{OWN} (enforce)", (OWN,)),
        ("lab two words (complain)", ("lab two words",)),
        ("lab-hat//HAT (enforce)", ("lab-hat//HAT",)),
        ("one//&two (enforce)", ("one", "two")),
        (":box:b (enforce)", ()),
        ("a//&:box:b (enforce)", ("a",)),
        ("runc (unconfined)", ("runc",)),
        ("unconfined", ()),
        ("", ()),
        ("system_u:system_r:container_t:s0:c1,c2", ()),
        ("odd (name) (kill)", ("odd (name)",)),
    ],
)
def test_profiles_of_a_label(label: str, names: tuple[str, ...]) -> None:
    assert profiles_of([label, label]) == names


def test_names_without_modes() -> None:
    assert single_profiles(["a//&b", "", "unconfined", "b", "c d"]) == ("a", "b", "c d")


def test_the_kernels_list(tmp_path: Path) -> None:
    paths = put_host(tmp_path)
    with_apparmor(tmp_path, f"{OWN} (enforce)", "lab two words (complain)")
    expected = {"lsb_release", "nvidia_modprobe", "nvidia_modprobe//kmod", "runc", OWN, "lab two words"}
    assert read_loaded(paths) == expected
    assert find_missing(paths, (OWN, "nvidia_modprobe", "other")) == ("other",)


def test_a_beginning_of_a_name_is_another_profile(tmp_path: Path) -> None:
    paths = put_host(tmp_path)
    with_apparmor(tmp_path, f"{OWN} (enforce)")
    assert find_missing(paths, ("containers-default-0.62",)) == ("containers-default-0.62",)


def test_without_securityfs_nothing_is_known(tmp_path: Path) -> None:
    paths = put_host(tmp_path)
    with_apparmor(tmp_path)
    list_path(tmp_path).unlink()
    assert find_missing(paths, (OWN,)) is None
    assert find_missing(paths, ()) == ()


@pytest.mark.parametrize("selinux", [False, True])
def test_where_apparmor_does_not_rule_none_is_missing(tmp_path: Path, selinux: bool) -> None:
    paths = put_host(tmp_path)
    if selinux:
        with_apparmor(tmp_path)
        (tmp_path / "sys/fs/selinux").mkdir(parents=True)
        (tmp_path / "sys/fs/selinux/enforce").write_text("1")
    assert find_missing(paths, (OWN,)) == ()


def test_the_failure_names_the_way_out() -> None:
    error = missing_error("restore container 'web'", "lab")
    assert error.reason == "apparmor_profile_missing"
    assert error.facts == {"profile": "lab"}
    assert "apparmor_parser --replace FILE" in error.message
    assert "nobody can load it" in missing_error("restore container 'web'", "lab//null-/usr/bin/cat").message
