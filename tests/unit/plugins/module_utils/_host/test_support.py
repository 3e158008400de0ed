# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.filter.host_support import host_support
from ansible_collections.criu.hosts.plugins.module_utils._host.support import LSMS, TABLE, row_of, support_of


@pytest.mark.parametrize(
    ("distribution", "family", "release", "lsm", "level", "begins"),
    [
        ("debian", "debian", "13", "selinux", "supported", "Debian 13 with SELinux is supported: "),
        ("debian", "debian", "13", "apparmor", "supported", "Debian 13 with AppArmor is supported: "),
        ("debian", "debian", "13", "none", "supported", "Debian 13 without SELinux and AppArmor is supported: "),
        ("Debian", "debian", "12.11", "apparmor", "supported", "Debian 12.11 is supported: its runtime is runc"),
        ("Debian", "debian", "12.11", "none", "supported", "Debian 12.11 is supported: its runtime is runc"),
        (
            "debian",
            "debian",
            "12",
            "selinux",
            "refused",
            "Debian 12 with SELinux is refused: its SELinux policy",
        ),
        ("debian", "debian", "11", "none", "refused", "Debian 11 is refused: "),
        ("debian", "debian", "", "none", "experimental", "Debian is experimental: it is treated like Debian 13"),
        ("Debian", "debian", "forky/sid", "none", "experimental", "Debian forky/sid is experimental: "),
        ("debian", "debian", "14", "selinux", "experimental", "Debian 14 is experimental: "),
        ("debian", "debian", "13", "both", "refused", "Debian 13 with SELinux and AppArmor at once is refused: "),
        ("debian", "debian", "13", "other", "refused", "Debian 13 with another security module is refused: "),
        ("ubuntu", "debian", "24.04", "apparmor", "experimental", "Ubuntu 24.04 is experimental: "),
        ("ubuntu", "debian", "25.10", "apparmor", "experimental", "Ubuntu 25.10 is experimental: "),
        ("Linux Mint", "debian", "22", "apparmor", "experimental", "Linux Mint 22 is experimental: "),
        ("fedora", "redhat", "43", "selinux", "experimental", "Fedora 43 is experimental: unit tests cover it"),
        ("centos", "redhat", "10", "selinux", "experimental", "centos 10 is experimental: "),
        ("RedHat", "redhat", "9.6", "selinux", "experimental", "RedHat 9.6 is experimental: "),
        ("rocky", "redhat", "8.10", "selinux", "refused", "rocky 8.10 is refused: "),
        ("amzn", "redhat", "2023", "selinux", "experimental", "amzn 2023 is experimental: "),
        ("opensuse-leap", "other", "15.6", "apparmor", "refused", "opensuse-leap 15.6 is refused: "),
        ("openSUSE Leap", "suse", "15.6", "apparmor", "refused", "openSUSE Leap 15.6 is refused: "),
        ("SLES", "suse", "15.7", "apparmor", "refused", "SLES 15.7 is refused: "),
        ("arch", "other", "", "none", "refused", "arch is refused: "),
        ("linux", "other", "", "none", "refused", "linux is refused: "),
        ("debian", "debian", "9" * 5000, "none", "experimental", "Debian 999"),
    ],
)
def test_which_hosts_are_supported(
    distribution: str, family: str, release: str, lsm: str, level: str, begins: str
) -> None:
    found = support_of(distribution, family, release, lsm)
    assert found["level"] == level and found["text"].startswith(begins)


def test_suse_has_its_own_way_out() -> None:
    assert "zypper" in support_of("opensuse-tumbleweed", "other", "20261101", "selinux")["text"]


@pytest.mark.parametrize("lsm", LSMS)
def test_every_host_has_a_row(lsm: str) -> None:
    assert row_of("", "", "", lsm).level == "refused"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: " ".join((*row.shown, *row.lsms)))
def test_each_row_is_one_sentence_and_a_refusal_names_a_way_out(row: Any) -> None:
    assert row.level in ("supported", "experimental", "refused")
    assert row.why[0].islower() and not row.why.endswith(".") and ". " not in row.why
    assert bool(row.advice) == (row.level == "refused")
    assert set(row.lsms) <= set(LSMS)


def facts(**more: Any) -> dict[str, Any]:
    return {"distribution": "Debian", "distribution_version": "13.1", "os_family": "Debian", **more}


@pytest.mark.parametrize(
    ("more", "level", "begins"),
    [
        ({}, "supported", "Debian 13.1 without SELinux and AppArmor"),
        ({"selinux": {"status": "disabled"}, "apparmor": {"status": "enabled"}}, "supported", "Debian 13.1 with App"),
        ({"selinux": {"status": "enabled"}, "apparmor": {"status": "enabled"}}, "refused", "Debian 13.1 with SELinux"),
        ({"selinux": {"status": "enabled", "mode": "permissive"}}, "supported", "Debian 13.1 with SELinux is"),
        ({"selinux": False}, "supported", "Debian 13.1 without SELinux and AppArmor"),
        ({"distribution_version": "n/a"}, "experimental", "Debian n/a is experimental"),
        ({"distribution": "openSUSE Leap", "os_family": "Suse"}, "refused", "openSUSE Leap 13.1 is refused"),
        ({"distribution": "Archlinux", "os_family": "Archlinux"}, "refused", "Archlinux 13.1 is refused"),
    ],
)
def test_the_filter_reads_the_facts_of_ansible(more: dict[str, Any], level: str, begins: str) -> None:
    found = host_support(facts(**more))
    assert found["level"] == level and found["text"].startswith(begins)


@pytest.mark.parametrize("bad", [{}, None, 5, "Debian", {"os_family": "Debian"}, facts(selinux="enabled")])
def test_the_filter_refuses_other_input_with_one_line(bad: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"the facts are incomplete .* Use ansible_facts"):
        host_support(bad)
