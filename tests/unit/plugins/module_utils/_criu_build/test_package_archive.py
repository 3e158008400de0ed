# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import package_archive
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import package_debian as deb
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import package_redhat as rpm


@pytest.mark.parametrize(
    ("way", "version", "expected"),
    [
        pytest.param(deb.Deb(), "4.1.1-1", "1:4.1.1-1+criuhosts1", id="deb"),
        pytest.param(deb.Deb(), "2:4.1.1-1", "3:4.1.1-1+criuhosts1", id="deb-with-epoch"),
        pytest.param(rpm.Rpm(dnf5=True), "4.1-1.fc42", "1:4.1-1.fc42.criuhosts1", id="rpm"),
    ],
)
def test_the_version_is_above_every_later_one(way: Any, version: str, expected: str) -> None:
    assert way.raised(version, "criuhosts1") == expected


def test_parse_uris(fixture_text: Callable[[str], str]) -> None:
    found = deb.parse_uris(fixture_text("apt/2.6.1-source-print-uris.txt"))
    assert found is not None and found.version == "3.17.1-2+deb12u2"
    assert found.file == "criu_3.17.1-2+deb12u2.dsc" and found.identity.startswith(("SHA256:", "SHA512:", "MD5Sum:"))
    assert deb.parse_uris("NOTICE: 'criu' packaging is maintained in Git\n") is None


def test_build_depends_of_debian(fixture_text: Callable[[str], str]) -> None:
    control = fixture_text("dpkg/criu-3.17.1-control.txt")
    found = deb.add_build_depends(control, ["libselinux1-dev", "libnftables-dev"])
    assert "\nBuild-Conflicts: libdrm-dev\nBuild-Depends: libselinux1-dev,\n asciidoc," in found
    assert found.count("libnftables-dev") == 1, "what is there already is not added"
    assert deb.add_build_depends(found, ["libselinux1-dev"]) == found


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        pytest.param("Source: x\nBuild-Depends: gcc\n\nP: x\n", "Build-Depends: libb-dev, gcc", id="one-line"),
        pytest.param("Build-Depends: libb-dev-extra\n", "Build-Depends: libb-dev, libb-dev-extra", id="longer-name"),
        pytest.param("Build-Depends: libb-dev (>= 2)\n", "Build-Depends: libb-dev (>= 2)", id="with-a-version"),
        pytest.param("Build-Depends: gcc\n", "Build-Conflicts: libdrm-dev", id="a-plugin-nobody-asked-for"),
        pytest.param("Build-Depends: libdrm-dev\n", "Build-Depends: libb-dev, libdrm-dev", id="one-that-is-asked-for"),
    ],
)
def test_build_depends(control: str, expected: str) -> None:
    assert expected in deb.add_build_depends(control, ["libb-dev"]).splitlines()


def test_the_entry_on_top_has_the_date_of_the_one_below(fixture_text: Callable[[str], str]) -> None:
    changelog = fixture_text("dpkg/criu-3.17.1-changelog.txt")
    found = deb.add_entry(changelog, "1:3.17.1-2+deb12u2+criuhosts1", ["libselinux1-dev"]).splitlines()
    assert found[0] == "criu (1:3.17.1-2+deb12u2+criuhosts1) bookworm; urgency=medium"
    assert found[4].endswith("  Sun, 24 Aug 2025 15:12:30 +0200")
    assert "\n".join(found[6:]) + "\n" == changelog


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Depends: libcriu2 (= 4.1.1-1), libc6 (>= 2.38), xy (= 1)\n", ["libcriu2", "xy"], id="two"),
        pytest.param("Package: x\n", [], id="none"),
    ],
)
def test_strict_depends(text: str, expected: list[str]) -> None:
    assert deb.strict_depends(text) == expected


def test_parse_madison(fixture_text: Callable[[str], str]) -> None:
    offered = fixture_text("apt/2.6.1-madison.txt")
    ours = "criu | 1:3.17.1-2+deb12u2+criuhosts1 | file:/srv ./ Packages\n"
    assert deb.parse_madison(ours + offered, "criuhosts1") == {"criu": "3.17.1-2+deb12u2"}


FAMILY = {
    "a.deb": package_archive.File("criu", "2", "0", ("python3-pycriu",)),
    "b.deb": package_archive.File("libcriu2", "2", "0", ("libcompel1",)),
    "c.deb": package_archive.File("libcompel1", "2", "0"),
    "d.deb": package_archive.File("python3-pycriu", "2", "0"),
    "e.deb": package_archive.File("libcriu-dev", "2", "0"),
}


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        pytest.param([], ["a.deb", "d.deb"], id="criu-and-what-it-must-have"),
        pytest.param(["libcriu2"], ["a.deb", "b.deb", "c.deb", "d.deb"], id="with-what-is-there-already"),
        pytest.param(["criu", "elsewhere"], ["a.deb", "d.deb"], id="not-in-the-archive"),
    ],
)
def test_choose(installed: list[str], expected: list[str]) -> None:
    manifest = package_archive.Manifest("0" * 12, "deb", "1", "2", (), "x86_64", "debian 13", FAMILY)
    assert sorted(package_archive.choose(manifest, installed)) == expected


SPEC = """\
Name: criu
Version: 4.1
Release: 2%{?dist}
BuildRequires: gcc, libnet-devel
BuildRequires: pkgconf

%package devel
Requires: %{name} = %{version}-%{release}

%package -n crit
Requires: python3-criu = %{version}-%{release}

%description
Release: not this one
"""


def test_edit_spec() -> None:
    found = rpm.edit_spec(SPEC, ["libselinux-devel", "libnet-devel"], "criuhosts1").splitlines()
    assert found[1:6] == [
        "Version: 4.1",
        "Epoch: 1",
        "Release: 2%{?dist}.criuhosts1",
        "BuildRequires: libselinux-devel",
        "BuildRequires: gcc, libnet-devel",
    ]
    assert "Requires: %{name} = %{epoch}:%{version}-%{release}" in found
    assert "Requires: python3-criu = %{epoch}:%{version}-%{release}" in found
    assert found[-1] == "Release: not this one"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("Release: %autorelease", "Release: %{autorelease}.x", id="autorelease"),
        pytest.param("Release:        %autorelease -b 3", "Release:        %{autorelease -b 3}.x", id="with-options"),
        pytest.param("Release:  7", "Release:  7.x", id="plain"),
    ],
)
def test_edit_spec_release(line: str, expected: str) -> None:
    assert expected in rpm.edit_spec(f"Version: 1\nEpoch: 4\n{line}\n", [], "x").splitlines()
    assert "Epoch: 5" in rpm.edit_spec(f"Version: 1\nEpoch: 4\n{line}\n", [], "x").splitlines()


@pytest.mark.parametrize(
    ("text", "version"),
    [("criu-4.1-1.fc42.src.rpm\n", "4.1-1.fc42"), ("(none)\n", None), ("", None)],
)
def test_parse_sourcerpm(text: str, version: str | None) -> None:
    found = rpm.parse_sourcerpm(text)
    assert (found.version if found else None) == version


class Rows:
    """A runner that prints the same rows whatever it is asked."""

    def __init__(self, out: str) -> None:
        self.out = out

    def run(self, argv: Any, **dummy: Any) -> Completed:
        return Completed(tuple(argv), 0, self.out, "")


def test_installed_rpms() -> None:
    text = (
        "bash-5.2-1.fc42.src.rpm bash 0:5.2-1.fc42\n"
        "criu-4.1-1.fc42.src.rpm criu 0:4.1-1.fc42\n"
        "criu-4.1-1.fc42.criuhosts1.src.rpm criu-libs 1:4.1-1.fc42.criuhosts1\n"
        "(none) gpg-pubkey 0:1-1\n"
    )
    found = rpm.Rpm(dnf5=False).installed(Rows(text))  # type: ignore[arg-type]
    assert found == {"criu": "4.1-1.fc42", "criu-libs": "1:4.1-1.fc42.criuhosts1"}


def test_missing_rpms() -> None:
    text = (
        "error: Failed build dependencies:\n"
        "\tlibnet-devel is needed by criu-1:4.1-1.fc42.x86_64\n"
        "\tlibnl3-devel >= 3.2 is needed by criu-1:4.1-1.fc42.x86_64\n"
    )
    assert rpm.missing_packages(text) == ["libnet-devel", "libnl3-devel"]


def test_the_rpm_way_asks_dnf5_in_its_own_words() -> None:
    assert rpm.Rpm(dnf5=True).download == "--srpm" and rpm.Rpm(dnf5=False).download == "--source"
