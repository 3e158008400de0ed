# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Link, Remove, Rename
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import activate, compatibility
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import installed as install
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.manifest import Artifact
from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import read_elf
from ansible_collections.criu.hosts.tests.unit import criu_host as fake

LAYOUT = install.Layout()
MANIFEST = fake.manifest()
TREE = install.Tree(MANIFEST, "a" * 64, True)
RIGHT = install.Installed({MANIFEST.tree: TREE}, MANIFEST.tree, install.RIGHT, install.RIGHT, True, True)
VIRGIN = install.Installed({}, None, install.NOTHING, install.OTHER, False, False)
TARGET = activate.Target(MANIFEST.tree, "/a.tar.gz", divert=True, restorecon=True)
DIVERT_OVER_PACKAGE = [f"Remove {LAYOUT.diverted}", "dpkg-divert", "Link /usr/sbin/criu"]


def kinds(plan: Any) -> list[str]:
    names = []
    for step in plan.steps:
        if isinstance(step, Command):
            names.append(step.argv[0])
        elif isinstance(step, (Link, Remove)):
            names.append(f"{type(step).__name__} {step.path}")
        else:
            names.append(type(step).__name__)
    return names


CACHE = "Remove /run/criu.kdat"
LOCAL = ["MakeDir", "Link /usr/local/sbin/criu"]
FINAL = f"/opt/criu-hosts/{MANIFEST.tree}"
UNPACK = [
    *("MakeDir", f"Remove {FINAL}.new", "Unpack", "WriteFile", "restorecon", *[f"{FINAL}.new/sbin/criu"] * 2),
    *(f"Remove {FINAL}", "Rename"),
]
TRIAL = [f"{FINAL}/sbin/criu"] * 2
SWITCH = "Link /opt/criu-hosts/current"


@pytest.mark.parametrize(
    ("installed", "target", "expected"),
    [
        pytest.param(RIGHT, TARGET, [], id="right"),
        pytest.param(
            VIRGIN,
            TARGET,
            [*UNPACK, SWITCH, *LOCAL, *DIVERT_OVER_PACKAGE, CACHE, f"Remove {FINAL}.new"],
            id="virgin-with-package",
        ),
        pytest.param(
            replace(VIRGIN, packaged=install.NOTHING),
            replace(TARGET, divert=False, restorecon=False),
            [*UNPACK[:4], *UNPACK[5:], SWITCH, *LOCAL, CACHE, f"Remove {FINAL}.new"],
            id="virgin-without-dpkg-and-selinux",
        ),
        pytest.param(replace(RIGHT, current="4.1-0"), TARGET, [*TRIAL, SWITCH, CACHE], id="other-version-active"),
        pytest.param(replace(RIGHT, local=install.NOTHING), TARGET, [*LOCAL, CACHE], id="link-gone"),
        pytest.param(replace(RIGHT, local=install.OURS), TARGET, [*LOCAL, CACHE], id="link-elsewhere"),
        pytest.param(
            replace(RIGHT, packaged=install.OTHER),
            TARGET,
            ["Link /usr/sbin/criu", CACHE],
            id="package-path-overwritten",
        ),
        pytest.param(
            replace(RIGHT, diverted=False),
            TARGET,
            ["Remove /usr/sbin/criu", "dpkg-divert", "Link /usr/sbin/criu", CACHE],
            id="diversion-lost",
        ),
        pytest.param(
            replace(RIGHT, diverted=False, packaged=install.OTHER),
            TARGET,
            [*DIVERT_OVER_PACKAGE, CACHE],
            id="diversion-lost-and-package-upgraded",
        ),
        pytest.param(
            replace(RIGHT, trees={MANIFEST.tree: replace(TREE, intact=False)}),
            TARGET,
            [*UNPACK, CACHE, f"Remove {FINAL}.new"],
            id="binary-replaced",
        ),
    ],
)
def test_plan_present(installed: install.Installed, target: activate.Target, expected: list[str]) -> None:
    plan = activate.plan_present(LAYOUT, installed, target)
    assert kinds(plan) == expected
    assert plan.changed is (plan.before != plan.after)


def test_the_trial_comes_before_the_switch() -> None:
    steps = activate.plan_present(LAYOUT, VIRGIN, TARGET).steps
    order = [step for step in steps if isinstance(step, (Command, Rename, Link))]
    names = [step.argv[0] if isinstance(step, Command) else type(step).__name__ for step in order]
    assert names[:5] == ["restorecon", *[f"{FINAL}.new/sbin/criu"] * 2, "Rename", "Link"]


def test_a_criu_of_somebody_else_is_not_replaced() -> None:
    with pytest.raises(CheckpointError) as caught:
        activate.plan_present(LAYOUT, replace(VIRGIN, local=install.OTHER), TARGET)
    assert caught.value.reason == "path_taken"


@pytest.mark.parametrize(
    ("installed", "divert", "expected"),
    [
        pytest.param(VIRGIN, True, [], id="virgin"),
        pytest.param(replace(VIRGIN, local=install.OTHER), True, [], id="not-ours"),
        pytest.param(
            RIGHT,
            True,
            ["Remove /usr/sbin/criu", "dpkg-divert", "Remove /usr/local/sbin/criu", "Remove /opt/criu-hosts", CACHE],
            id="all",
        ),
        pytest.param(
            replace(RIGHT, packaged=install.NOTHING, diverted=False),
            False,
            ["Remove /usr/local/sbin/criu", "Remove /opt/criu-hosts", CACHE],
            id="without-dpkg",
        ),
        pytest.param(replace(VIRGIN, base=True), True, ["Remove /opt/criu-hosts", CACHE], id="half-installed"),
    ],
)
def test_plan_absent(installed: install.Installed, divert: bool, expected: list[str]) -> None:
    assert kinds(activate.plan_absent(LAYOUT, installed, divert=divert)) == expected


def test_parse_diversions(fixture_text: Callable[[str], str]) -> None:
    text = fixture_text("dpkg/1.22-diversions.txt")
    assert install.parse_diversions(text, "/usr/sbin/criu") == "/usr/sbin/criu.distrib"
    assert install.parse_diversions(text, "/lib64/ld-linux-x86-64.so.2") is None, "a package's diversion is not ours"
    assert install.parse_diversions("", "/usr/sbin/criu") is None


def installed_host(root: Path, binary: bytes = fake.WITH_SELINUX) -> install.Layout:
    layout = install.Layout(Paths(str(root)))
    fake.unpacked(root, MANIFEST, "a" * 64, binary)
    fake.link(Path(layout.current), MANIFEST.tree)
    fake.link(Path(layout.local), layout.active)
    fake.link(Path(layout.packaged), layout.active)
    fake.put(root / "var/lib/dpkg/diversions", f"{layout.packaged}\n{layout.diverted}\n:\n")
    return layout


def test_read_installed(tmp_path: Path) -> None:
    layout = installed_host(tmp_path)
    assert install.read_installed(layout) == RIGHT
    assert install.read_installed(layout).right(divert=True)
    assert install.read_installed(install.Layout(Paths(f"{tmp_path}/nowhere"))) == replace(
        VIRGIN, packaged=install.NOTHING
    )


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda tree: (tree / "sbin/criu").write_bytes(b"other"), id="binary-replaced"),
        pytest.param(lambda tree: (tree / "sbin/criu").unlink(), id="binary-gone"),
        pytest.param(lambda tree: (tree / "sbin/criu").chmod(0o644), id="not-executable"),
        pytest.param(lambda tree: (tree / "COPYING").unlink(), id="file-gone"),
        pytest.param(lambda tree: (tree / "installed.json").write_text("{"), id="origin-damaged"),
    ],
)
def test_read_installed_sees_damage(harm: Callable[[Path], Any], tmp_path: Path) -> None:
    layout = installed_host(tmp_path)
    harm(tmp_path / "opt/criu-hosts" / MANIFEST.tree)
    assert not install.read_installed(layout).right(divert=True)


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_a_folder_without_a_manifest_is_no_build(text: str, tmp_path: Path) -> None:
    layout = installed_host(tmp_path)
    (tmp_path / "opt/criu-hosts" / MANIFEST.tree / "manifest.json").write_text(text)
    assert install.read_installed(layout).active is None


def artifact() -> Artifact:
    with open(fake.FIXTURES / "elf/gcc-14.2.0-selinux-nftables-x86_64.bin", "rb") as handle:
        elf = read_elf(handle)
        return Artifact(MANIFEST, "a" * 64, elf, (*elf.needed, "libdrm_amdgpu.so.1"), b"")


def system(folder: Path, libraries: set[str], **changes: Any) -> compatibility.System:
    fake.put(folder / "lib64/ld-linux-x86-64.so.2", "")
    return replace(compatibility.System(Paths(str(folder)), "x86_64", "debian", "2.41", libraries), **changes)


def test_check_artifact_takes_what_fits(fixture_text: Callable[[str], str], tmp_path: Path) -> None:
    libraries = compatibility.parse_ldconfig(fixture_text("criu/trixie-ldconfig.txt")) | {"libdrm_amdgpu.so.1"}
    compatibility.check_artifact("/a", artifact(), system(tmp_path, libraries))
    compatibility.check_artifact("/a", artifact(), system(tmp_path, set(), libc="2.34"))


@pytest.mark.parametrize(
    ("gone", "changes", "word", "packages"),
    [
        pytest.param("", {"machine": "aarch64"}, "aarch64", None, id="machine"),
        pytest.param("", {"libc": "2.4"}, "needs glibc 2.34, and this host has glibc 2.4", None, id="glibc"),
        pytest.param("", {"paths": Paths("/nowhere")}, "has no /lib64/ld-linux", None, id="loader"),
        pytest.param("libnftables.so.1", {}, "lacks", ["libnftables1"], id="library-debian"),
        pytest.param("libnftables.so.1", {"family": "redhat"}, "lacks", ["nftables-libs"], id="library-redhat"),
        pytest.param("libdrm_amdgpu.so.1", {}, "lacks", ["libdrm-amdgpu1"], id="library-of-a-plugin"),
        pytest.param("libc.so.6", {}, "Build it on this distribution", [], id="library-unknown"),
    ],
)
def test_check_artifact_refuses(
    gone: str,
    changes: dict[str, Any],
    word: str,
    packages: list[str] | None,
    fixture_text: Callable[[str], str],
    tmp_path: Path,
) -> None:
    libraries = compatibility.parse_ldconfig(fixture_text("criu/trixie-ldconfig.txt")) | {"libdrm_amdgpu.so.1"}
    with pytest.raises(CheckpointError) as caught:
        compatibility.check_artifact("/a", artifact(), system(tmp_path, libraries - {gone}, **changes))
    assert caught.value.reason == "artifact_unusable" and word in caught.value.message
    assert caught.value.facts.get("packages") == packages
