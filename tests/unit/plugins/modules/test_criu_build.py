# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
import hashlib
import io
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Plan, Unpack
from ansible_collections.criu.hosts.plugins.module_utils._criu import libraries
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import activate, choice, needs
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import compile as build
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import installed as install
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import manifest as manifests
from ansible_collections.criu.hosts.plugins.modules import criu_build
from ansible_collections.criu.hosts.tests.unit import criu_host as fake
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply, Write, put_host

LDCONFIG = Reply(["ldconfig", "-p"], (fake.FIXTURES / "criu/trixie-ldconfig.txt").read_text(encoding="utf-8"))
FEATURES = ("nftables", "selinux")


def sha256_of(path: Path) -> str:
    return file_sha256(str(path))


class Anything:
    """A runner that has every tool."""

    def which(self, name: str) -> str:
        return name


class Machine:
    """A Debian host below a folder, and what its commands do."""

    def __init__(self, folder: Path, *, selinux: bool = True) -> None:
        self.folder = folder
        self.layout = install.Layout(Paths(str(folder)))
        self.paths = put_host(folder)
        criu_build.MACHINE = "x86_64"
        criu_build.LIBC = "2.41"
        fake.put(folder / "lib64/ld-linux-x86-64.so.2", "")
        fake.put(folder / "etc/os-release", fake.DEBIAN)
        fake.put(folder / "usr/sbin/criu", "the distribution's", 0o755)
        fake.put(folder / "run/criu.kdat", "old")
        fake.put(folder / "var/lib/dpkg/diversions", "")
        if selinux:
            fake.put(folder / "sys/fs/selinux/enforce", "1")
        for need in (*needs.HEADERS, *libraries.FEATURES.values(), *needs.OF_PLUGINS):
            fake.put(folder / "usr/include" / need.probe, "")

    def divert(self) -> None:
        Path(self.layout.packaged).rename(self.layout.diverted)
        fake.put(self.folder / "var/lib/dpkg/diversions", f"{self.layout.packaged}\n{self.layout.diverted}\n:\n")

    def point_to(self, tree: str) -> None:
        Path(self.layout.current).unlink()
        fake.link(Path(self.layout.current), tree)

    def undivert(self) -> None:
        Path(self.layout.diverted).rename(self.layout.packaged)
        fake.put(self.folder / "var/lib/dpkg/diversions", "")

    def installing(self, tree: str, trial: str = "", check: str = "") -> list[Any]:
        """What installing ``tree`` runs; ``trial`` and ``check`` are what those runs say when they fail."""
        folders = (self.layout.tree(tree), f"{self.layout.tree(tree)}.new")
        return [
            LDCONFIG,
            Write(["restorecon", "-R", self.layout.base]),
            *(
                Write(list(activate.start_argv(one)), out="Version: 4.2.1\n", err=trial, rc=bool(trial))
                for one in folders
            ),
            *(Write(list(activate.check_argv(one)), out="Looks good.\n", err=check, rc=bool(check)) for one in folders),
            Write(list(activate.divert_argv(self.layout, "--add")), effect=self.divert),
            Write(list(activate.divert_argv(self.layout, "--remove")), effect=self.undivert),
        ]

    def job(self, source: Path, artifact: Path | None, **options: Any) -> build.Job:
        params = {key: spec.get("default") for key, spec in criu_build.SPEC.items()}
        given = {"source": str(source), "artifact_path": str(artifact) if artifact else None, "jobs": 2, **options}
        return choice.make_job(
            Anything(), criu_build.want({**params, **given}, self.paths), choice.read_source(str(source), None)
        )

    def compiling(self, job: build.Job, binary: bytes = fake.WITH_SELINUX) -> list[Any]:
        tree = Path(job.work) / "tree"

        def pack() -> None:
            members = {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
            fake.tarball(Path(f"{job.packed}.partial"), members)

        effects = {
            "make": lambda: None,
            "patch": lambda: None,
            **{
                f"{tree}/{manifests.plugin_file(name)}": partial(
                    fake.put, tree / manifests.plugin_file(name), fake.WITHOUT_SELINUX
                )
                for name in job.plugins
            },
            f"{tree}/sbin/criu": lambda: fake.put(tree / "sbin/criu", binary, 0o755),
            f"{tree}/COPYING": lambda: fake.put(tree / "COPYING", "GPL\n"),
            "tar": pack,
        }
        commands = [list(step.argv) for step in build.build_steps(job, "debian") if isinstance(step, Command)]
        return [Write(argv, effect=effects.get(argv[0]) or effects[argv[-1]]) for argv in commands]


def built(folder: Path) -> Any:
    machine = Machine(folder)
    source, artifact = fake.source(folder / "criu.tar.xz"), folder / "out/criu.tar.gz"
    params = {"state": "built", "source": str(source), "artifact_path": str(artifact), "jobs": 2}
    return params, Host(machine.compiling(machine.job(source, artifact)))


def built_already(folder: Path) -> Any:
    machine = Machine(folder)
    source, artifact = fake.source(folder / "criu.tar.xz"), folder / "criu.tar.gz"
    fake.artifact(artifact, fake.manifest(machine.job(source, artifact).id))
    return {"state": "built", "source": str(source), "artifact_path": str(artifact), "jobs": 2}, Host()


def from_artifact(folder: Path) -> Any:
    machine = Machine(folder)
    artifact = fake.artifact(folder / "criu.tar.gz", fake.manifest())
    return {"artifact_path": str(artifact)}, Host(machine.installing(fake.manifest().tree))


def from_source(folder: Path) -> Any:
    machine = Machine(folder, selinux=False)
    source = fake.source(folder / "criu.tar.xz")
    job = machine.job(source, None)
    commands = machine.compiling(job) + machine.installing(job.tree)
    return {"source": str(source), "jobs": 2}, Host(commands)


def installed(folder: Path, artifact_sha256: str = "a" * 64) -> Machine:
    machine = Machine(folder)
    fake.unpacked(folder, fake.manifest(), artifact_sha256)
    fake.link(Path(machine.layout.current), fake.manifest().tree)
    fake.link(Path(machine.layout.local), machine.layout.active)
    machine.divert()
    fake.link(Path(machine.layout.packaged), machine.layout.active)
    return machine


def present_already(folder: Path) -> Any:
    installed(folder)
    return {"artifact_path": str(folder / "gone.tar.gz"), "artifact_checksum": "A" * 64}, Host()


def link_gone(folder: Path) -> Any:
    machine = installed(folder)
    Path(machine.layout.local).unlink()
    return {"artifact_path": str(folder / "gone.tar.gz"), "artifact_checksum": "a" * 64}, Host()


def binary_replaced(folder: Path) -> Any:
    artifact = fake.artifact(folder / "criu.tar.gz", fake.manifest())
    machine = installed(folder, file_sha256(str(artifact)))
    fake.put(Path(machine.layout.active), "replaced by hand", 0o755)
    return {"artifact_path": str(artifact)}, Host(machine.installing(fake.manifest().tree))


def remove(folder: Path) -> Any:
    machine = installed(folder)
    return {"state": "absent"}, Host(machine.installing("unused"))


def nothing_to_remove(folder: Path) -> Any:
    Machine(folder)
    return {"state": "absent"}, Host()


def plugins_and_patches(folder: Path) -> Any:
    machine = Machine(folder)
    source, artifact = fake.source(folder / "criu.tar.xz"), folder / "criu.tar.gz"
    patches = str(fake.patches(folder / "criu.debian.tar.xz"))
    options = {"plugins": ["cuda"], "wanted": ["amdgpu", "gnutls"], "patches": patches}
    (folder / "usr/include/gnutls/gnutls.h").unlink()
    job = machine.job(source, artifact, **options)
    params = {"state": "built", "source": str(source), "artifact_path": str(artifact), "jobs": 2, **options}
    return params, Host(machine.compiling(job))


def two_versions(folder: Path) -> Machine:
    machine = installed(folder)
    fake.unpacked(folder, fake.manifest("f" * 12, version="4.1"), "b" * 64)
    return machine


def go_back(folder: Path) -> Any:
    return {"version": "4.1"}, Host(two_versions(folder).installing("4.1-" + "f" * 12))


def active_already(folder: Path) -> Any:
    two_versions(folder)
    return {"version": "4.2.1"}, Host()


def remove_one(folder: Path) -> Any:
    two_versions(folder)
    return {"state": "absent", "version": "4.1"}, Host()


def one_removed_already(folder: Path) -> Any:
    installed(folder)
    return {"state": "absent", "version": "4.1"}, Host()


CONTRACT_CASES = [
    Case("built", built),
    Case("built-already", built_already, changed=False),
    Case("from-artifact", from_artifact),
    Case("from-source", from_source),
    Case("present-already-and-artifact-gone", present_already, changed=False),
    Case("link-gone", link_gone),
    Case("binary-replaced", binary_replaced),
    Case("plugins-and-patches", plugins_and_patches),
    Case("go-back", go_back),
    Case("version-active-already", active_already, changed=False),
    Case("absent-one-version", remove_one),
    Case("absent-one-version-already", one_removed_already, changed=False),
    Case("absent", remove),
    Case("absent-already", nothing_to_remove, changed=False),
]


def everything(folder: Path) -> set[str]:
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in names if not name.startswith("run/criu-hosts")}  # without the locks


def test_every_caller_gets_the_new_one(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = from_artifact(tmp_path)
    run = module("criu_build", params, host=host)
    for path in ("usr/sbin/criu", "usr/local/sbin/criu"):
        assert (tmp_path / path).read_bytes() == fake.WITH_SELINUX
    assert (tmp_path / "usr/sbin/criu.distrib").read_text() == "the distribution's"
    assert not (tmp_path / "run/criu.kdat").exists()
    assert run.result["build"]["features"] == ["selinux", "nftables"]
    assert run.result["build"]["artifact_sha256"] == file_sha256(params["artifact_path"])


def test_absent_gives_the_distribution_back(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = remove(tmp_path)
    run = module("criu_build", params, host=host)
    assert (tmp_path / "usr/sbin/criu").read_text() == "the distribution's"
    assert not [name for name in everything(tmp_path) if "criu-hosts" in name or name.endswith(".distrib")]
    assert run.result["build"] is None


def test_going_back_compiles_and_unpacks_nothing(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine, back = two_versions(tmp_path), "4.1-" + "f" * 12
    host = Host(machine.installing(back))
    for params in ({"artifact_path": "/gone", "artifact_checksum": "b" * 64}, {"version": "4.1"}, {"version": back}):
        machine.point_to(fake.manifest().tree)
        run = module("criu_build", params, host=host)
        folder = machine.layout.tree(back)
        assert run.result["commands"] == [list(activate.start_argv(folder)), list(activate.check_argv(folder))]
        assert run.result["build"]["version"] == "4.1" and run.result["builds"] == [back, fake.manifest().tree]
        assert Path(machine.layout.current).readlink() == Path(back)


@pytest.mark.parametrize(
    ("says", "reason", "words"),
    [
        pytest.param({"trial": "criu: version `X' not found\n"}, "artifact_unusable", ["version `X'"], id="no-start"),
        pytest.param(
            {"trial": "criu: error while loading shared libraries: libnet.so.1: cannot open shared object file\n"},
            "artifact_unusable",
            ["'packages': ['libnet1']"],
            id="library-of-a-library-missing",
        ),
        pytest.param(
            {"check": "Error (criu/cr-check.c:1): No dirty tracking\nWarn: Does not look good.\n"},
            "check_failed",
            ["No dirty tracking", "set check to false"],
            id="kernel-not-good-enough",
        ),
    ],
)
def test_a_build_that_fails_its_trial_is_never_active(
    says: dict[str, str], reason: str, words: list[str], tmp_path: Path, module: Callable[..., Any]
) -> None:
    machine = Machine(tmp_path)
    artifact = fake.artifact(tmp_path / "criu.tar.gz", fake.manifest())
    host = Host(machine.installing(fake.manifest().tree, **says))
    run = module("criu_build", {"artifact_path": str(artifact)}, host=host)
    assert run.result["reason"] == reason and all(word in str(run.result) for word in words)
    assert list((tmp_path / "opt/criu-hosts").iterdir()) == [] and not (tmp_path / "run/criu.kdat").exists()
    assert (tmp_path / "usr/sbin/criu").read_text() == "the distribution's"


def test_a_failed_compiler_leaves_nothing(
    tmp_path: Path, module: Callable[..., Any], fixture_text: Callable[[str], str]
) -> None:
    params, host = built(tmp_path)
    make = host.replies[0]
    host.replies = [Write(make.argv, rc=2, err=fixture_text("criu/4.2.1-make-without-libnet.stderr.txt"))]
    run = module("criu_build", params, host=host)
    assert run.result["reason"] == "build_dependency_missing" and run.result["packages"] == ["libnet1-dev"]
    assert list((tmp_path / "var/lib/criu-hosts/build").iterdir()) == [] and not (tmp_path / "out").exists()


def test_a_compiled_file_without_the_feature_leaves_nothing(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine = Machine(tmp_path)
    source, artifact = fake.source(tmp_path / "criu.tar.xz"), tmp_path / "criu.tar.gz"
    host = Host(machine.compiling(machine.job(source, artifact), fake.WITHOUT_SELINUX))
    params = {"state": "built", "source": str(source), "artifact_path": str(artifact), "jobs": 2}
    run = module("criu_build", params, host=host)
    assert run.result["reason"] == "feature_missing" and "libselinux1-dev" in run.result["msg"]
    assert not artifact.exists() and list((tmp_path / "var/lib/criu-hosts/build").iterdir()) == []


def test_builds_from_a_url(tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path)
    source, artifact = fake.source(tmp_path / "criu-4.2.1.tar.xz"), tmp_path / "out.tar.gz"
    monkeypatch.setattr(criu_build, "open_url", lambda url, timeout: io.BytesIO(source.read_bytes()))
    host = Host(machine.compiling(machine.job(source, artifact)))
    params = {
        "state": "built",
        "source": "https://example.com/criu-4.2.1.tar.xz",
        "artifact_path": str(artifact),
        "checksum": file_sha256(str(source)),
        "jobs": 2,
    }
    assert module("criu_build", params, host=host).result["build"]["source_sha256"] == params["checksum"]
    artifact.unlink()
    monkeypatch.setattr(criu_build, "open_url", lambda url, timeout: io.BytesIO(b"something else"))
    assert module("criu_build", params, host=host).result["reason"] == "checksum_mismatch"
    assert list((tmp_path / "var/lib/criu-hosts/build").iterdir()) == []


URL = "https://example.com/criu-4.2.1.tar.gz"
NONE = hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        pytest.param({"source": URL}, "checksum_missing", id="url-without-checksum"),
        pytest.param({"source": URL + "/criu.tar.gz", "checksum": NONE}, "source_invalid", id="url-without-version"),
        pytest.param({"source": "/nowhere/criu.tar.gz"}, "source_invalid", id="no-such-source"),
        pytest.param({"source": "{folder}/criu.tar.xz", "checksum": NONE}, "checksum_mismatch", id="other-source"),
        pytest.param({"source": "{folder}/etc/os-release"}, "source_invalid", id="no-tarball"),
        pytest.param({"artifact_path": "/nowhere/a.tar.gz"}, "artifact_missing", id="no-such-artifact"),
        pytest.param(
            {"artifact_path": "{folder}/a.tar.gz", "artifact_checksum": NONE}, "checksum_mismatch", id="other-artifact"
        ),
        pytest.param({"artifact_path": "{folder}/criu.tar.xz"}, "artifact_invalid", id="no-artifact"),
    ],
)
def test_bad_input(params: dict[str, str], reason: str, tmp_path: Path, module: Callable[..., Any]) -> None:
    Machine(tmp_path)
    fake.source(tmp_path / "criu.tar.xz")
    fake.artifact(tmp_path / "a.tar.gz", fake.manifest())
    before = everything(tmp_path)
    run = module(
        "criu_build", {key: value.format(folder=tmp_path) for key, value in params.items()}, host=Host([LDCONFIG])
    )
    assert run.result["reason"] == reason and "\n" not in run.result["msg"]
    assert everything(tmp_path) == before


def test_unreachable_url(tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(tmp_path)

    def refuse(url: str, timeout: int) -> Any:
        raise OSError("Connection refused")

    monkeypatch.setattr(criu_build, "open_url", refuse)
    run = module("criu_build", {"source": URL, "checksum": NONE}, host=Host())
    assert run.result["reason"] == "download_failed" and "Connection refused" in run.result["msg"]


@pytest.mark.parametrize(
    ("machine", "libc", "libraries", "word"),
    [
        pytest.param("aarch64", "2.41", LDCONFIG.out, "aarch64", id="other-machine"),
        pytest.param(
            "x86_64", "2.31", LDCONFIG.out, "needs glibc 2.34, and this host has glibc 2.31", id="older-glibc"
        ),
        pytest.param("x86_64", "", LDCONFIG.out, "no glibc", id="other-c-library"),
        pytest.param("x86_64", "2.34", "\tlibc.so.6 (libc6) => /libc.so.6\n", "libnftables1", id="library-missing"),
        pytest.param("x86_64", None, LDCONFIG.out, "this host has no /lib64/ld-linux-x86-64.so.2", id="no-loader"),
    ],
)
def test_artifact_of_another_host(
    machine: str,
    libc: str | None,
    libraries: str,
    word: str,
    tmp_path: Path,
    module: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Machine(tmp_path)
    monkeypatch.setattr(criu_build, "MACHINE", machine)
    monkeypatch.setattr(criu_build, "LIBC", libc or "")
    if libc is None:
        (tmp_path / "lib64/ld-linux-x86-64.so.2").unlink()
    artifact = fake.artifact(tmp_path / "a.tar.gz", fake.manifest())
    run = module("criu_build", {"artifact_path": str(artifact)}, host=Host([Reply(["ldconfig", "-p"], libraries)]))
    assert run.result["reason"] == "artifact_unusable" and word in run.result["msg"]


def test_missing_headers_are_named_before_anything_is_done(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = built(tmp_path)
    (tmp_path / "usr/include/selinux/selinux.h").unlink()
    run = module("criu_build", params, host=host)
    assert run.result["reason"] == "feature_missing" and run.result["packages"] == ["libselinux1-dev"]
    assert host.ran == []


def test_what_is_only_wanted_is_left_out_where_it_cannot_be(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = plugins_and_patches(tmp_path)
    run = module("criu_build", params, host=host)
    make = next(argv for argv in run.result["commands"] if argv[0] == "make")
    assert make[-3:] == ["criu", "amdgpu_plugin", "cuda_plugin"] and "NO_GNUTLS=1" in make
    assert run.result["build"]["plugins"] == ["amdgpu", "cuda"]
    assert set(run.result["build"]["files"]) >= {"lib/criu/amdgpu_plugin.so", "lib/criu/cuda_plugin.so"}
    assert [argv[-1].rsplit("/", 1)[1] for argv in run.result["commands"] if argv[0] == "patch"] == ["one", "two"]
    fake.put(tmp_path / "usr/include/gnutls/gnutls.h", "")
    assert module("criu_build", params, host=host).result["changed"] is False, (
        "a wanted one alone compiles nothing again"
    )
    assert module("criu_build", {**params, "features": ["gnutls"]}, host=host, check=True).result["changed"] is True


@pytest.mark.parametrize(
    ("options", "gone", "reason", "word"),
    [
        pytest.param({"plugins": ["amdgpu"]}, "usr/include/libdrm/amdgpu.h", "feature_missing", "libdrm-dev", id="drm"),
        pytest.param({"patches": "/nowhere.tar.xz"}, None, "source_invalid", "patches", id="no-patches"),
        pytest.param({"patches": "{folder}/criu.tar.xz"}, None, "source_invalid", "series", id="no-series"),
        pytest.param(
            {"version": "9.9", "source": None}, None, "build_unknown", "Installed: none", id="no-such-version"
        ),
    ],
)
def test_more_bad_input(
    options: dict[str, Any], gone: str | None, reason: str, word: str, tmp_path: Path, module: Callable[..., Any]
) -> None:
    Machine(tmp_path)
    params = {"source": str(fake.source(tmp_path / "criu.tar.xz")), **options}
    params = {key: value.format(folder=tmp_path) if isinstance(value, str) else value for key, value in params.items()}
    if gone:
        (tmp_path / gone).unlink()
    run = module("criu_build", {key: value for key, value in params.items() if value}, host=Host())
    assert run.result["reason"] == reason and word in run.result["msg"] and "\n" not in run.result["msg"]


def test_a_plugin_newer_than_the_source(tmp_path: Path, module: Callable[..., Any]) -> None:
    Machine(tmp_path)
    old = fake.tarball(tmp_path / "c.tar", {"criu-3.17.1/Makefile.versions": fake.OLD_MAKEFILE.encode()}, "w")
    run = module("criu_build", {"source": str(old), "plugins": ["cuda"]}, host=Host())
    assert (
        run.result["reason"] == "feature_missing" and "CRIU 3.17.1" in run.result["msg"] and "4.0" in run.result["msg"]
    )


def test_a_compiler_that_is_missing(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = built(tmp_path)
    host.missing = ["gcc", "protoc-c"]
    run = module("criu_build", params, host=host)
    assert run.result["reason"] == "build_dependency_missing" and host.ran == []
    assert run.result["packages"] == ["gcc", "protobuf-c-compiler"]


def test_an_artifact_that_would_leave_its_folder(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine = Machine(tmp_path)
    one = fake.manifest()
    members = {"../../evil": b"x", "COPYING": b"GPL\n", "manifest.json": manifests.render_manifest(one).encode()}
    artifact = fake.tarball(tmp_path / "a.tar.gz", {**members, manifests.BINARY: fake.WITH_SELINUX})
    before = everything(tmp_path)
    run = module("criu_build", {"artifact_path": str(artifact)}, host=Host(machine.installing(one.tree)))
    assert run.result["reason"] == "artifact_invalid" and everything(tmp_path) == before


def test_a_source_that_would_leave_its_folder(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine = Machine(tmp_path)
    members = {"criu-4.2.1/Makefile.versions": fake.MAKEFILE.encode(), "criu-4.2.1/../../../evil": b"x"}
    source = fake.tarball(tmp_path / "criu.tar", members, "w")
    artifact = tmp_path / "a.tar.gz"
    host = Host(machine.compiling(machine.job(source, artifact)))
    params = {"state": "built", "source": str(source), "artifact_path": str(artifact), "jobs": 2}
    run = module("criu_build", params, host=host)
    assert run.result["reason"] == "unpack_failed" and host.ran == [] and not artifact.exists()
    assert not list(tmp_path.rglob("evil")) and list((tmp_path / "var/lib/criu-hosts/build").iterdir()) == []


def test_a_full_disk_leaves_the_active_build(
    tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = installed(tmp_path)
    newer = fake.manifest("e" * 12, version="4.3")
    artifact = fake.artifact(tmp_path / "new.tar.gz", newer)

    def write(dummy_archive: Any, dummy_member: Any, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("ansible_collections.criu.hosts.plugins.module_utils._core.unpack._write", write)
    run = module("criu_build", {"artifact_path": str(artifact)}, host=Host(machine.installing(newer.tree)))
    assert run.result["reason"] == "disk_full" and "Free space" in run.result["msg"]
    assert sorted(path.name for path in (tmp_path / "opt/criu-hosts").iterdir()) == [fake.manifest().tree, "current"]
    assert Path(machine.layout.packaged).read_bytes() == fake.WITH_SELINUX


def test_a_second_build_at_the_same_time(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = built(tmp_path)
    folder = tmp_path / "var/lib/criu-hosts"
    folder.mkdir(parents=True)
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    run = module("criu_build", params, host=host)
    assert run.result["reason"] == "busy" and host.ran == [] and list(folder.iterdir()) == []
    os.close(other)
    assert module("criu_build", params, host=host).result["changed"] is True


def test_the_build_in_use_is_not_removed(tmp_path: Path, module: Callable[..., Any]) -> None:
    two_versions(tmp_path)
    before = everything(tmp_path)
    run = module("criu_build", {"state": "absent", "version": "4.2.1"}, host=Host())
    assert run.result["reason"] == "build_active" and everything(tmp_path) == before


def test_two_builds_of_one_version(tmp_path: Path, module: Callable[..., Any]) -> None:
    two_versions(tmp_path)
    fake.unpacked(tmp_path, fake.manifest("e" * 12, version="4.1"), "c" * 64)
    run = module("criu_build", {"version": "4.1"}, host=Host())
    assert run.result["reason"] == "build_ambiguous" and "4.1-eeeeeeeeeeee" in run.result["msg"]


EVIL = fake.WITH_SELINUX + b"EVIL"


def swapped_before_the_plan(monkeypatch: pytest.MonkeyPatch, path: Path, how: str, content: bytes) -> list[Plan]:
    """A user replaces the file after it was read and verified, when the plan begins. Returns the applied plans."""
    plans: list[Plan] = []
    apply = Context.apply

    def swap(ctx: Context, plan: Plan) -> Any:
        plans.append(plan)
        other = fake.put(path.with_name("other"), content)
        if how == "rename":
            other.rename(path)
        elif how == "link":
            path.unlink()
            path.symlink_to(other)
        elif how == "write":
            path.write_bytes(content)
        else:
            path.unlink()
        return apply(ctx, plan)

    monkeypatch.setattr(Context, "apply", swap)
    return plans


HOW = pytest.mark.parametrize("how", ["rename", "link", "write", "remove"])


@HOW
@pytest.mark.parametrize("checksum", [True, False])
def test_an_artifact_that_is_swapped_after_its_check(
    how: str, checksum: bool, tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is installed, and recorded as its origin, is what was verified."""
    params, host = from_artifact(tmp_path)
    digest = file_sha256(params["artifact_path"])
    evil = fake.artifact(tmp_path / "evil.tar.gz", fake.manifest(binary=EVIL), EVIL).read_bytes()
    swapped_before_the_plan(monkeypatch, Path(params["artifact_path"]), how, evil)
    run = module("criu_build", {**params, **({"artifact_checksum": digest} if checksum else {})}, host=host)
    assert run.result["build"]["artifact_sha256"] == digest
    assert (tmp_path / "usr/sbin/criu").read_bytes() == fake.WITH_SELINUX
    assert not [name for name in everything(tmp_path / "var/lib/criu-hosts") if "artifact" in name]


@HOW
def test_a_source_that_is_swapped_after_its_check(
    how: str, tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compiled is what was verified, the patches included."""
    machine = Machine(tmp_path, selinux=False)
    source, patches = fake.source(tmp_path / "criu.tar.xz"), fake.patches(tmp_path / "p.tar.xz")
    job = machine.job(source, None, patches=str(patches))
    commands = machine.compiling(job) + machine.installing(job.tree)
    evil = fake.tarball(tmp_path / "evil.tar", {"criu-4.2.1/Makefile": b"all: evil\n"}).read_bytes()
    seen: list[bool] = []

    def look() -> None:
        paths = ("src/Makefile", "src/COPYING", "patches/debian/patches/one")
        seen.extend((Path(job.work) / path).exists() for path in paths)

    commands = [replace(one, effect=look) if one.argv[0] == "make" else one for one in commands]
    digest = file_sha256(str(source))
    swapped_before_the_plan(monkeypatch, source, how, evil)
    swapped_before_the_plan(monkeypatch, patches, how, b"")
    params = {"source": str(source), "checksum": digest, "patches": str(patches), "jobs": 2}
    run = module("criu_build", params, host=Host(commands))
    assert run.result["build"]["source_sha256"] == digest and seen == [False, True, True]


def test_what_is_unpacked_is_in_a_folder_of_root(
    tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a build with an artifact_path, too: what others may replace there is not read again."""
    machine = Machine(tmp_path, selinux=False)
    source, artifact = fake.source(tmp_path / "criu.tar.xz"), tmp_path / "open/criu.tar.gz"
    artifact.parent.mkdir()
    artifact.parent.chmod(0o777)
    job = machine.job(source, artifact)
    plans = swapped_before_the_plan(monkeypatch, fake.put(tmp_path / "unused", ""), "remove", b"")
    host = Host(machine.compiling(job) + machine.installing(job.tree))
    run = module("criu_build", {"source": str(source), "artifact_path": str(artifact), "jobs": 2}, host=host)
    assert run.result["build"]["artifact_sha256"] == file_sha256(str(artifact))
    unpacked = [step.archive for plan in plans for step in plan.steps if isinstance(step, Unpack)]
    assert len(unpacked) == 2 and all(path.startswith(f"{tmp_path}/var/lib/criu-hosts/") for path in unpacked)


@pytest.mark.parametrize("mode, compiles", [(0o644, False), (0o666, True)])
def test_an_artifact_that_others_can_write_stands_for_no_build(
    mode: int, compiles: bool, tmp_path: Path, module: Callable[..., Any]
) -> None:
    """Only its own manifest says that it is the build of this source."""
    machine = Machine(tmp_path, selinux=False)
    source, artifact = fake.source(tmp_path / "criu.tar.xz"), tmp_path / "criu.tar.gz"
    job = machine.job(source, artifact)
    fake.artifact(artifact, fake.manifest(job.id)).chmod(mode)
    host = Host([LDCONFIG, *machine.compiling(job), *machine.installing(job.tree)])
    params = {"source": str(source), "artifact_path": str(artifact), "jobs": 2}
    module("criu_build", params, host=host)
    assert any(argv[0] == "make" for argv in host.ran) is compiles


def test_the_checksum_of_an_artifact_beside_a_source(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine = Machine(tmp_path, selinux=False)
    source, artifact = fake.source(tmp_path / "criu.tar.xz"), tmp_path / "criu.tar.gz"
    fake.artifact(artifact, fake.manifest(machine.job(source, artifact).id))
    params = {"source": str(source), "artifact_path": str(artifact), "artifact_checksum": NONE, "jobs": 2}
    assert module("criu_build", params, host=Host()).result["reason"] == "checksum_mismatch"


@pytest.mark.parametrize("option", ["artifact_path", "source", "patches"])
def test_what_is_no_file_is_not_waited_for(option: str, tmp_path: Path, module: Callable[..., Any]) -> None:
    Machine(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    params = {"artifact_path": str(tmp_path / "none"), "source": str(fake.source(tmp_path / "s.tar.xz"))}
    given = {option: str(tmp_path / "pipe"), **(params if option == "patches" else {})}
    assert module("criu_build", given, host=Host()).result["reason"] in ("artifact_invalid", "source_invalid")
