# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._criu import offer

DEBIAN12, DEBIAN13 = (6, 1, 153), (6, 12, 117)


def host(mode: str = "disabled", kernel: tuple[int, ...] = DEBIAN13, **more: Any) -> dict[str, Any]:
    return {
        "path": "/usr/sbin/criu",
        "version": "4.1.1",
        "selinux": False,
        "installed": None,
        "check": None,
        "kernel": {"version": list(kernel)},
        "lsm": {"selinux": {"mode": mode}},
        "system": {"family": "debian", "name": "debian 13"},
        **more,
    }


def package(version: str, depends: str = "libc6 (>= 2.34)") -> str:
    return f"Package: criu\nVersion: {version}\nDepends: {depends}\nDescription: x\n"


def test_the_recorded_package(fixture_text: Callable[[str], str]) -> None:
    assert offer.parse_offered(fixture_text("apt/2.6.1-show-criu.txt")) == ("3.17.1-2+deb12u2", False)


@pytest.mark.parametrize(
    ("depends", "linked"),
    [
        ("libc6, libselinux1 (>= 3.1)", True),
        ("libselinux1", True),
        ("libselinux1:any, libc6", True),
        ("libselinux1-dev", False),
        ("notlibselinux1", False),
    ],
)
def test_libselinux_among_the_dependencies(depends: str, linked: bool) -> None:
    assert offer.parse_offered(package("4.1.1-1", depends)) == ("4.1.1-1", linked)


def test_no_package() -> None:
    assert offer.parse_offered("") == (None, False)
    assert offer.judge_offered(host(), "") == {"version": None, "why_not": "the distribution offers no package criu"}


@pytest.mark.parametrize("version", ["4.1.1-1", "1:4.1.1-1+b1", "4.1.1"])
def test_the_version_of_criu_in_that_of_a_package(version: str) -> None:
    assert offer.parse_upstream(version) == "4.1.1"


@pytest.mark.parametrize(
    ("value", "text", "why_not"),
    [
        (host(), package("4.1.1-1"), None),
        (host(kernel=DEBIAN12), package("3.17.1-2+deb12u2"), "vDSO"),
        (host(kernel=(6, 16)), package("4.1.1-1"), "SO_PASSCRED"),
        (host("enforcing"), package("4.1.1-1"), "SELinux is enforcing and the distribution's criu 4.1.1-1"),
        (host("permissive"), package("4.1.1-1"), "SELinux is permissive"),
        (host("enforcing"), package("4.1.1-1", "libselinux1 (>= 3.1)"), None),
        (host(), package("unknown"), "unknown version"),
        (host("enforcing", system={"family": "redhat", "name": "fedora 43"}), "", None),
    ],
    ids=["good", "debian12", "backports", "enforcing", "permissive", "linked", "odd", "redhat"],
)
def test_the_distributions_package(value: dict[str, Any], text: str, why_not: str | None) -> None:
    found = offer.judge_offered(value, text)["why_not"]
    assert found is None if why_not is None else why_not in found


@pytest.mark.parametrize(
    ("value", "why_not"),
    [
        (host(), None),
        (host(path=None), "not installed"),
        (host(version=None), "does not report its version"),
        (host("enforcing"), "/usr/sbin/criu is not linked with libselinux"),
        (host("enforcing", selinux=None), "not linked"),
        (host("enforcing", selinux=True), None),
        (host(version="4.2.1", selinux=True, installed={"intact": True}), None),
        (host(version="4.2.1", selinux=True, installed={"intact": False}), "changed since"),
        (host(version="3.17.1", kernel=DEBIAN12), "vDSO"),
    ],
)
def test_the_criu_in_use(value: dict[str, Any], why_not: str | None) -> None:
    found = offer.judge_used(value)
    assert found is None if why_not is None else why_not in found


def test_a_check_that_passed_clears_what_it_would_have_shown() -> None:
    passed = {"passed": True, "log": []}
    assert "vDSO" in (offer.judge_used(host(version="3.17.1", kernel=(6, 1, 100))) or "")
    assert offer.judge_used(host(version="3.17.1", kernel=(6, 1, 100), check=passed)) is None
