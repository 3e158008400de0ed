# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_step
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Remove, Unpack
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import compile as build
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import manifest as manifests
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import needs
from ansible_collections.criu.hosts.plugins.module_utils._host.distribution import parse_os_release
from ansible_collections.criu.hosts.tests.unit import criu_host as fake


def job(**changes: Any) -> build.Job:
    default = build.Job(
        version="4.2.1",
        source="/root/criu.tar.gz",
        source_sha256="5" * 64,
        features=("nftables", "selinux"),
        architecture="x86_64",
        built_on="debian 13",
        folder="/build",
        artifact="/root/out.tar.gz",
        jobs=2,
        prefix="/opt/criu-hosts/current",
        fetch=lambda: b"",
    )
    return replace(default, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"source_sha256": "6" * 64},
        {"features": ("nftables",)},
        {"architecture": "aarch64"},
        {"built_on": "debian 12"},
        {"plugins": ("cuda",)},
        {"patches": build.Patches(b"p", ("one",))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_id_tells_builds_apart(changes: dict[str, Any]) -> None:
    assert job().id != job(**changes).id


def test_id_does_not_depend_on_what_changes_nothing() -> None:
    assert job().id == job(features=("selinux", "nftables"), jobs=8, source="/elsewhere.tar", artifact="/x").id


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(fake.DEBIAN, ("debian", "debian 13"), id="debian"),
        pytest.param(fake.FEDORA, ("redhat", "fedora 43"), id="fedora"),
        pytest.param(
            'ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"', ("redhat", "almalinux 9.6"), id="alma"
        ),
        pytest.param("ID=ubuntu\nID_LIKE=debian\nVERSION_ID='24.04'", ("debian", "ubuntu 24.04"), id="ubuntu"),
        pytest.param("ID=debian\n", ("debian", "debian"), id="sid-has-no-version"),
        pytest.param("", ("other", "linux"), id="empty"),
    ],
)
def test_parse_os_release(text: str, expected: tuple[str, str]) -> None:
    assert parse_os_release(text) == expected


@pytest.mark.parametrize(
    ("url", "version"),
    [
        ("https://example.com/criu-4.2.1.tar.gz", "4.2.1"),
        ("https://example.com/pool/criu_4.2.1.orig.tar.xz", "4.2.1"),
        ("https://example.com/archive/v4.2.tar.gz", "4.2"),
        ("https://example.com/criu/4.3/criu-4.3.tar.bz2?download=1", "4.3"),
        ("https://example.com/4.2.1/criu.tar.gz", None),
    ],
)
def test_version_of_url(url: str, version: str | None) -> None:
    assert build.version_of_url(url) == version


def test_version_of_tarball(tmp_path: Path) -> None:
    assert build.version_of_tarball("s", fake.source(tmp_path / "s.tar.xz").read_bytes()) == "4.2.1"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"no archive", id="no-archive"),
        pytest.param({"linux-6.12/Makefile": b"VERSION = 6\n"}, id="other-source"),
        pytest.param({"criu-4/Makefile.versions": b"nothing\n"}, id="no-version-in-it"),
        pytest.param({"criu-4/test/Makefile.versions": fake.MAKEFILE.encode()}, id="deeper"),
    ],
)
def test_version_of_tarball_refuses(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        fake.tarball(path, content)
    with pytest.raises(CheckpointError) as caught:
        build.version_of_tarball(str(path), path.read_bytes())
    assert caught.value.reason == "source_invalid" and "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("gone", "family", "reason", "packages"),
    [
        pytest.param({"gcc", "libnet.h"}, "debian", "build_dependency_missing", ["gcc", "libnet1-dev"], id="base"),
        pytest.param({"selinux/selinux.h"}, "debian", "feature_missing", ["libselinux1-dev"], id="feature-debian"),
        pytest.param({"selinux/selinux.h"}, "redhat", "feature_missing", ["libselinux-devel"], id="feature-redhat"),
        pytest.param({"nftables/libnftables.h"}, "debian", "feature_missing", ["libnftables-dev"], id="nftables"),
        pytest.param({"gnutls/gnutls.h"}, "redhat", "feature_missing", ["gnutls-devel"], id="gnutls"),
        pytest.param(
            {"make"}, "other", "build_dependency_missing", ["make (Debian) or make (Fedora)"], id="unknown-family-tools"
        ),
    ],
)
def test_needs(gone: set[str], family: str, reason: str, packages: list[str]) -> None:
    base, features = needs.missing_needs(
        ("selinux", "nftables", "gnutls"), lambda name: None if name in gone else name, lambda name: name not in gone
    )
    with pytest.raises(CheckpointError) as caught:
        needs.check_needs(base, features, family)
    assert caught.value.reason == reason and caught.value.facts["packages"] == packages
    assert all(package in caught.value.message for package in packages)


def test_headers_of_an_unknown_family_may_be_elsewhere() -> None:
    needs.check_needs(*needs.missing_needs(("selinux",), lambda name: name, lambda name: False), "other")


def test_compile_argv() -> None:
    assert build.compile_argv(job()) == (
        *("make", "-C", f"/build/{job().id}/src", "-j2", "WERROR=0", "PREFIX=/opt/criu-hosts/current"),
        *(
            "PLUGINDIR=/opt/criu-hosts/current/lib/criu",
            "NETWORK_LOCK_DEFAULT=NETWORK_LOCK_NFTABLES",
            "NO_GNUTLS=1",
            "criu",
        ),
    )
    plain = build.compile_argv(job(features=("gnutls",)))
    assert not [word for word in plain if word.startswith(("NETWORK_LOCK", "NO_GNUTLS"))]


def test_the_work_folder_goes_on_every_path() -> None:
    steps = build.build_steps(job(), "debian")
    assert steps[0] == Remove(f"/build/{job().id}", why="remove the remains of an interrupted build")
    assert build.clean_step(job()) == Remove(f"/build/{job().id}", always=True, why="remove the work folder")
    packs = [step for step in steps if isinstance(step, Command) and step.argv[0] == "tar"]
    assert packs[0].creates_partial == f"/build/{job().id}/criu.tar.gz.partial"


def test_explain_build_names_the_package(fixture_text: Callable[[str], str]) -> None:
    error = fixture_text("criu/4.2.1-make-without-libnet.stderr.txt")
    found = needs.explain_build(Completed(("make",), 2, "  CC  criu/x.o\n", error), "debian")
    assert found.reason == "build_dependency_missing" and found.facts["packages"] == ["libnet1-dev"]
    assert found.facts["log_tail"][-1].startswith("make: *** Waiting")


def test_explain_build_shows_the_first_error() -> None:
    error = "criu/a.c:3:1: error: unknown type name 'u65'\nmake: *** [Makefile:278: criu] Error 2\n"
    found = needs.explain_build(Completed(("make",), 2, "", error), "debian")
    assert found.reason == "build_failed" and "unknown type name 'u65'" in found.message
    assert found.facts["log_tail"] == error.splitlines()


def built(tmp_path: Path, binary: bytes) -> build.Job:
    one = job(folder=str(tmp_path))
    fake.put(Path(one.work) / "src/Makefile.versions", fake.MAKEFILE)
    fake.put(Path(one.work) / "tree/COPYING", "GPL\n")
    fake.put(Path(one.work) / "tree/sbin/criu", binary, 0o755)
    return one


def test_built_manifest_tells_what_the_file_is(tmp_path: Path) -> None:
    found = manifests.parse_manifest(build.built_manifest(built(tmp_path, fake.WITH_SELINUX), "debian"))
    assert found.features == ("selinux", "nftables") and found.libraries[0] == "libselinux.so.1"
    assert found.tree == f"4.2.1-{job().id}" and set(found.files) == {"COPYING", "sbin/criu"}


def test_a_feature_that_the_compiler_left_out_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        build.built_manifest(built(tmp_path, fake.WITHOUT_SELINUX), "debian")
    assert caught.value.reason == "feature_missing" and caught.value.facts["packages"] == ["libselinux1-dev"]


def test_a_tarball_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        build.built_manifest(replace(built(tmp_path, fake.WITH_SELINUX), version="4.3"), "debian")
    assert caught.value.reason == "source_invalid"


def test_manifest_roundtrip() -> None:
    one = fake.manifest()
    assert manifests.parse_manifest(manifests.render_manifest(one)) == one


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"id": 5}',
        manifests.render_manifest(fake.manifest("../../etc")),
        manifests.render_manifest(fake.manifest(version="x")),
    ],
)
def test_parse_manifest_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"manifest|Expecting value|object"):
        manifests.parse_manifest(text)


def test_read_artifact(tmp_path: Path) -> None:
    path = str(fake.artifact(tmp_path / "a.tar.gz", fake.manifest()))
    found = manifests.read_artifact(path)
    assert found.manifest == fake.manifest() and found.sha256 == file_sha256(path) and found.elf.machine == "x86_64"
    assert manifests.find_artifact(path, ["0" * 12, fake.manifest().id]) == found
    assert manifests.find_artifact(path, ["f" * 12]) is None


def damaged(path: Path) -> bytes:
    data = fake.artifact(path, fake.manifest()).read_bytes()
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(damaged, id="truncated"),
        pytest.param(lambda path: b"\x1f\x8bnonsense", id="no-gzip"),
        pytest.param(lambda path: fake.tarball(path, {"readme": b"x"}).read_bytes(), id="not-ours"),
        pytest.param(
            lambda path: fake.artifact(path, fake.manifest(), fake.WITHOUT_SELINUX).read_bytes(), id="other-binary"
        ),
        pytest.param(lambda path: fake.artifact(path, fake.manifest(), b"#!/bin/sh\n").read_bytes(), id="script"),
    ],
)
def test_read_artifact_refuses(content: Callable[[Path], bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content(tmp_path / "made.tar.gz"))
    with pytest.raises(CheckpointError) as caught:
        manifests.read_artifact(str(path))
    assert caught.value.reason == "artifact_invalid"


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o755
    return info


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([member("/etc/evil")], id="absolute"),
        pytest.param([member("a/../../evil")], id="dot-dot"),
        pytest.param([member("a", tarfile.SYMTYPE, "/etc")], id="absolute-link"),
        pytest.param([member("a/b", tarfile.SYMTYPE, "../../x")], id="link-that-leaves"),
        pytest.param(
            [member("b", tarfile.DIRTYPE), member("a", tarfile.SYMTYPE, "b"), member("a/evil")], id="file-below-a-link"
        ),
        pytest.param(
            [
                member("a/b/c", tarfile.DIRTYPE),
                member("a/b/c/up", tarfile.SYMTYPE, "../../.."),
                member("out", tarfile.SYMTYPE, "a/b/c/up/../evil"),
            ],
            id="links-that-leave-together",
        ),
        pytest.param([member("a", tarfile.CHRTYPE)], id="device"),
        pytest.param([member("a", tarfile.FIFOTYPE)], id="fifo"),
        pytest.param([member("a"), member("b", tarfile.LNKTYPE, "a")], id="hard-link"),
    ],
)
def test_unpack_refuses(members: list[tarfile.TarInfo], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(b""))
    with pytest.raises(CheckpointError) as caught:
        apply_step(None, Unpack(str(tmp_path / "a.tar"), str(tmp_path / "in/tree")), None)  # type: ignore[arg-type]
    assert caught.value.reason == "unpack_failed"
    assert not list(tmp_path.rglob("evil"))


def test_unpack_strips_and_sets_modes(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for info in (member("top", tarfile.DIRTYPE), member("top/run"), member("top/link", tarfile.SYMTYPE, "run")):
            archive.addfile(info, io.BytesIO(b""))
        secret = member("top/sub/text")
        secret.mode = 0o4600
        archive.addfile(secret, io.BytesIO(b""))
    apply_step(None, Unpack(str(tmp_path / "a.tar"), str(tmp_path / "tree"), strip=1), None)  # type: ignore[arg-type]
    modes = {
        str(path.relative_to(tmp_path / "tree")): oct(path.stat().st_mode & 0o7777)
        for path in (tmp_path / "tree").rglob("*")
    }
    assert modes == {"run": "0o755", "link": "0o755", "sub": "0o755", "sub/text": "0o644"}


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        pytest.param(("GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.9"), "2.34", id="by-number-not-by-letter"),
        pytest.param(("GLIBC_PRIVATE", "NCURSES6_5.0"), "", id="none-of-glibc"),
    ],
)
def test_oldest_libc(versions: tuple[str, ...], expected: str) -> None:
    assert manifests.oldest_libc(versions) == expected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("# all\na.patch\nb.patch -p1 # why\n\n", ("a.patch", "b.patch"), id="comments"),
        pytest.param("../../etc/passwd\n/etc/passwd\nsub/a\n", ("sub/a",), id="names-that-leave"),
    ],
)
def test_parse_series(text: str, names: tuple[str, ...]) -> None:
    assert build.parse_series(text) == names


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [("cuda", "3.17.1", True), ("cuda", "4.0", False), ("amdgpu", "3.9", True), ("selinux", "2.0", False)],
)
def test_too_new(name: str, version: str, expected: bool) -> None:
    assert needs.too_new(name, version) is expected


def descriptor(folder: Path, target: str) -> Path:
    """An unpacked tree of an old source whose link leads to ``target``."""
    with tarfile.open(folder / "a.tar", "w") as archive:
        archive.addfile(member(f"criu-4.1.1/{build.DESCRIPTOR[0]}", tarfile.SYMTYPE, target))
    step = Unpack(str(folder / "a.tar"), str(folder / "tree"), strip=1, outside=(build.DESCRIPTOR,))
    apply_step(None, step, None)  # type: ignore[arg-type]
    return folder / "tree" / build.DESCRIPTOR[0]


def test_the_one_link_of_old_sources_may_lead_out(tmp_path: Path) -> None:
    assert str(descriptor(tmp_path, build.DESCRIPTOR[1]).readlink()) == build.DESCRIPTOR[1]


def test_that_link_may_lead_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        descriptor(tmp_path, "/etc/shadow")
    assert caught.value.reason == "unpack_failed"
