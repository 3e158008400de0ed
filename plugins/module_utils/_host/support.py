# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists which hosts are supported, by distribution, release and security module (LSM), each with one sentence.

The roles refuse hosts by this table, criu_info returns its answer, and the tables in README.md and docs/readiness.md
are made from it. "Supported" means that it was run; what was not run is in the sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

SUPPORTED, EXPERIMENTAL, REFUSED = ("supported", "experimental", "refused")
# The answers to which security module confines processes (_lsm/rules.py), as a text goes on after the host's name.
LSMS = {
    "selinux": "with SELinux",
    "apparmor": "with AppArmor",
    "none": "without SELinux and AppArmor",
    "both": "with SELinux and AppArmor at once",
    "other": "with another security module",
}
# How the names of SUSE's distributions begin there: openSUSE Leap, opensuse-leap, SLES, sle-micro.
SUSE = ("opensuse", "suse", "sle")
# The names that /etc/os-release and Ansible's facts use for the distributions of Enterprise Linux.
ENTERPRISE = {"almalinux", "centos", "ol", "oraclelinux", "redhat", "rhel", "rocky"}
PROPER = {"debian": "Debian", "fedora": "Fedora", "ubuntu": "Ubuntu"}


@dataclass(frozen=True)
class Row:
    """What is known about some hosts. Without ``releases``, each one counts, also an unknown one.

    Args:
        shown: the distribution and the releases as the documentation names them.
    """

    shown: tuple[str, str]
    level: str
    why: str
    advice: str = ""
    kinds: Sequence[str] = ()
    releases: Sequence[int] = ()
    lsms: Sequence[str] = ()


LIKE_DEBIAN = "it is treated like Debian, and nothing was run there"
UNIT_TESTS = "unit tests cover it, and nothing was run there"
# The first row that fits counts.
TABLE = (
    Row(
        ("any", "any"),
        REFUSED,
        "which of the two labels a process must have after its restore was never tried",
        "Boot with one of them only (kernel parameter security=selinux or security=apparmor).",
        lsms=("both",),
    ),
    Row(
        ("any", "any"),
        REFUSED,
        "nothing reads its labels, so nothing proves that a restored process has its own",
        "Boot with SELinux, with AppArmor or with neither (kernel parameter security=).",
        lsms=("other",),
    ),
    Row(
        ("Debian", "13"),
        SUPPORTED,
        "every test of the collection runs there in enforcing mode",
        kinds=("debian",),
        releases=(13,),
        lsms=("selinux",),
    ),
    Row(
        ("Debian", "13"),
        SUPPORTED,
        "containers and plain processes were restored under their profiles, after a boot too, once these were loaded",
        kinds=("debian",),
        releases=(13,),
        lsms=("apparmor",),
    ),
    Row(
        ("Debian", "13"),
        SUPPORTED,
        "enable_host was run there, and containers were restored, but only below a different kernel, in namespaces",
        kinds=("debian",),
        releases=(13,),
        lsms=("none",),
    ),
    Row(
        ("Debian", "12"),
        REFUSED,
        "its SELinux policy has no type container_t, which Podman gives to every container",
        "Upgrade it to Debian 13, or boot with AppArmor (kernel parameter security=apparmor).",
        kinds=("debian",),
        releases=(12,),
        lsms=("selinux",),
    ),
    Row(
        ("Debian", "12"),
        SUPPORTED,
        "its runtime is runc, because it has no libcriu2 and its crun is without CRIU; seen with and without AppArmor",
        kinds=("debian",),
        releases=(12,),
    ),
    Row(
        ("Debian", "11 and older"),
        REFUSED,
        "its packages are older than all that was ever tried",
        "Upgrade it to Debian 12 or 13.",
        kinds=("debian",),
        releases=range(12),
    ),
    Row(
        ("Debian", "testing, unstable and others"),
        EXPERIMENTAL,
        "it is treated like Debian 13, and nothing was run there",
        kinds=("debian",),
    ),
    Row(
        ("Ubuntu", "24.04"),
        EXPERIMENTAL,
        "it is treated like Debian, nothing was run there, and its archive has no CRIU, which must be built",
        kinds=("ubuntu",),
        releases=(24,),
    ),
    Row(("Ubuntu", "others"), EXPERIMENTAL, LIKE_DEBIAN, kinds=("ubuntu",)),
    Row(("other relatives of Debian", "any"), EXPERIMENTAL, LIKE_DEBIAN, kinds=("like debian",)),
    Row(
        ("Enterprise Linux", "8 and older"),
        REFUSED,
        "its kernel and its Python are older than all that was ever tried",
        "Use release 9 or 10, which are experimental, or Debian 12 or 13.",
        kinds=("enterprise",),
        releases=range(9),
    ),
    Row(("Enterprise Linux", "9 and newer"), EXPERIMENTAL, UNIT_TESTS, kinds=("enterprise",)),
    Row(("Fedora", "any"), EXPERIMENTAL, UNIT_TESTS, kinds=("fedora",)),
    Row(("other relatives of Fedora", "any"), EXPERIMENTAL, UNIT_TESTS, kinds=("like redhat",)),
    Row(
        ("SUSE", "any"),
        REFUSED,
        "the roles do not know its packages, and nothing was run there",
        "Use Debian 12 or 13. Or install criu and podman with zypper and use the modules without the roles, untested.",
        kinds=("suse",),
    ),
    Row(
        ("any other", "any"),
        REFUSED,
        "the roles do not know its packages, and nothing was run there",
        "Use Debian 12 or 13. Or install criu and podman yourself and use the modules without the roles, untested.",
    ),
)


def kind_of(distribution: str, family: str) -> str:
    """Returns the kind of a distribution, as the rows name it."""
    name = distribution.lower()
    if name in PROPER:
        return name
    if name.startswith(SUSE):
        return "suse"
    return "enterprise" if name in ENTERPRISE else f"like {family}"


def major(release: str) -> int | None:
    """Returns the first number of a release; None if it has none, as Debian's testing."""
    found = re.match("[0-9]{1,9}(?![0-9])", release)
    return int(found.group()) if found else None


def row_of(distribution: str, family: str, release: str, lsm: str) -> Row:
    """Returns the row of a host."""
    kind, number = kind_of(distribution, family), major(release)
    return next(
        row
        for row in TABLE
        if (not row.kinds or kind in row.kinds)
        and (not row.releases or number in row.releases)
        and (not row.lsms or lsm in row.lsms)
    )


def support_of(distribution: str, family: str, release: str, lsm: str) -> dict[str, str]:
    """Returns the level and the text for a host.

    Args:
        family: debian, redhat or another word.
        lsm: a key of LSMS.
    """
    row = row_of(distribution, family, release, lsm)
    name = f"{PROPER.get(distribution.lower(), distribution)} {release}".strip()
    confined = f" {LSMS[lsm]}" if row.lsms else ""
    return {"level": row.level, "text": f"{name}{confined} is {row.level}: {row.why}. {row.advice}".strip()}


def support_by_facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Returns the level and the text for the host of these facts, which Ansible's module setup has gathered.

    They do not show a security module other than SELinux and AppArmor; criu_info does.

    Raises:
        KeyError: distribution, distribution_version or os_family is missing.
    """
    active = {name for name in ("selinux", "apparmor") if (facts.get(name) or {}).get("status") == "enabled"}
    lsm = "both" if len(active) > 1 else next(iter(active), "none")
    return support_of(
        str(facts["distribution"]), str(facts["os_family"]).lower(), str(facts["distribution_version"]), lsm
    )
