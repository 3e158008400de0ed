# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils import _criu_build as build
from ansible_collections.criu.hosts.plugins.module_utils import _criu_choice as choice
from ansible_collections.criu.hosts.plugins.module_utils import _criu_install as install
from ansible_collections.criu.hosts.plugins.module_utils import _criu_manifest as manifests
from ansible_collections.criu.hosts.plugins.module_utils import _criu_needs as needs
from ansible_collections.criu.hosts.plugins.module_utils import _criu_switch as switch
from ansible_collections.criu.hosts.plugins.modules import criu_build
from ansible_collections.criu.hosts.tests.unit import criu_host as fake
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply, Write

LDCONFIG = Reply(["ldconfig", "-p"], (fake.FIXTURES / "criu/trixie-ldconfig.txt").read_text(encoding="utf-8"))
FEATURES = ("nftables", "selinux")


class Machine:
    """A Debian host below a folder, and what its commands do."""

    def __init__(self, folder: Path, *, selinux: bool = True) -> None:
        self.folder = folder
        self.layout = install.Layout(str(folder))
        criu_build.ROOT = str(folder)
        criu_build.MACHINE = "x86_64"
        fake.put(folder / "etc/os-release", fake.DEBIAN)
        fake.put(folder / "usr/sbin/criu", "the distribution's", 0o755)
        fake.put(folder / "run/criu.kdat", "old")
        fake.put(folder / "var/lib/dpkg/diversions", "")
        if selinux:
            fake.put(folder / "sys/fs/selinux/enforce", "1")
        for need in (*needs.HEADERS, *needs.FEATURES.values()):
            fake.put(folder / "usr/include" / need.probe, "")

    def divert(self) -> None:
        Path(self.layout.packaged).rename(self.layout.diverted)
        fake.put(self.folder / "var/lib/dpkg/diversions", f"{self.layout.packaged}\n{self.layout.diverted}\n:\n")

    def undivert(self) -> None:
        Path(self.layout.diverted).rename(self.layout.packaged)
        fake.put(self.folder / "var/lib/dpkg/diversions", "")

    def installing(self, tree: str, trial_rc: int = 0) -> list[Any]:
        trial = switch.trial_argv(self.layout, tree)
        error = "" if trial_rc == 0 else "version `GLIBC_2.38' not found (required by criu)\n"
        return [
            LDCONFIG,
            Write(["restorecon", "-R", self.layout.base]),
            Write(list(trial), out="Version: 4.2.1\n", err=error, rc=trial_rc),
            Write(list(switch.divert_argv(self.layout, "--add")), effect=self.divert),
            Write(list(switch.divert_argv(self.layout, "--remove")), effect=self.undivert),
        ]

    def job(self, source: Path, artifact: Path | None) -> build.Job:
        wanted = criu_build.want(
            {**self.params(), "source": str(source), "artifact_path": str(artifact) if artifact else None}
        )
        return choice.make_job(wanted, str(source), manifests.file_sha256(str(source)))

    def params(self) -> dict[str, Any]:
        return {"features": list(FEATURES), "checksum": None, "artifact_checksum": None, "jobs": 2}

    def compiling(self, job: build.Job, binary: bytes = fake.WITH_SELINUX) -> list[Any]:
        tree = Path(job.work) / "tree"

        def pack() -> None:
            members = {name: (tree / name).read_bytes() for name in ("COPYING", "manifest.json", "sbin/criu")}
            fake.tarball(Path(f"{job.artifact}.partial"), members)

        effects = {
            "make": lambda: None,
            f"{tree}/sbin/criu": lambda: fake.put(tree / "sbin/criu", binary, 0o755),
            f"{tree}/COPYING": lambda: fake.put(tree / "COPYING", "GPL\n"),
            "tar": pack,
        }
        commands = [list(step.argv) for step in build.build_steps(job, "debian") if isinstance(step, build.Command)]
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
    machine = installed(folder, manifests.file_sha256(str(artifact)))
    fake.put(Path(machine.layout.active), "replaced by hand", 0o755)
    return {"artifact_path": str(artifact)}, Host(machine.installing(fake.manifest().tree))


def remove(folder: Path) -> Any:
    machine = installed(folder)
    return {"state": "absent"}, Host(machine.installing("unused"))


def nothing_to_remove(folder: Path) -> Any:
    Machine(folder)
    return {"state": "absent"}, Host()


CONTRACT_CASES = [
    Case("built", built),
    Case("built-already", built_already, changed=False),
    Case("from-artifact", from_artifact),
    Case("from-source", from_source),
    Case("present-already-and-artifact-gone", present_already, changed=False),
    Case("link-gone", link_gone),
    Case("binary-replaced", binary_replaced),
    Case("absent", remove),
    Case("absent-already", nothing_to_remove, changed=False),
]


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_every_caller_gets_the_new_one(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = from_artifact(tmp_path)
    run = module("criu_build", params, host=host)
    for path in ("usr/sbin/criu", "usr/local/sbin/criu"):
        assert (tmp_path / path).read_bytes() == fake.WITH_SELINUX
    assert (tmp_path / "usr/sbin/criu.distrib").read_text() == "the distribution's"
    assert not (tmp_path / "run/criu.kdat").exists()
    assert run.result["build"]["features"] == ["selinux", "nftables"]
    assert run.result["build"]["artifact_sha256"] == manifests.file_sha256(params["artifact_path"])


def test_absent_gives_the_distribution_back(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = remove(tmp_path)
    run = module("criu_build", params, host=host)
    assert (tmp_path / "usr/sbin/criu").read_text() == "the distribution's"
    assert not [name for name in everything(tmp_path) if "criu-hosts" in name or name.endswith(".distrib")]
    assert run.result["build"] is None


def test_going_back_compiles_and_unpacks_nothing(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine = installed(tmp_path)
    fake.unpacked(tmp_path, fake.manifest("f" * 12, version="4.1"), "b" * 64)
    run = module("criu_build", {"artifact_path": "/gone", "artifact_checksum": "b" * 64}, host=Host())
    assert run.result["changed"] and run.result["commands"] == [] and run.result["build"]["version"] == "4.1"
    assert Path(machine.layout.current).readlink() == Path("4.1-" + "f" * 12)


def test_a_build_that_does_not_start_is_never_active(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine = Machine(tmp_path)
    artifact = fake.artifact(tmp_path / "criu.tar.gz", fake.manifest())
    run = module("criu_build", {"artifact_path": str(artifact)}, host=Host(machine.installing(fake.manifest().tree, 1)))
    assert run.result["reason"] == "artifact_unusable" and "GLIBC_2.38" in run.result["msg"]
    assert list((tmp_path / "opt/criu-hosts").iterdir()) == []
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
        "checksum": manifests.file_sha256(str(source)),
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
    ("machine", "libraries", "word"),
    [
        pytest.param("aarch64", LDCONFIG.out, "aarch64", id="other-machine"),
        pytest.param("x86_64", "\tlibc.so.6 (libc6) => /lib/libc.so.6\n", "libnftables1", id="library-missing"),
    ],
)
def test_artifact_of_another_host(
    machine: str, libraries: str, word: str, tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine(tmp_path)
    monkeypatch.setattr(criu_build, "MACHINE", machine)
    artifact = fake.artifact(tmp_path / "a.tar.gz", fake.manifest())
    run = module("criu_build", {"artifact_path": str(artifact)}, host=Host([Reply(["ldconfig", "-p"], libraries)]))
    assert run.result["reason"] == "artifact_unusable" and word in run.result["msg"]


def test_missing_headers_are_named_before_anything_is_done(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = built(tmp_path)
    (tmp_path / "usr/include/selinux/selinux.h").unlink()
    run = module("criu_build", params, host=host)
    assert run.result["reason"] == "feature_missing" and run.result["packages"] == ["libselinux1-dev"]
    assert host.ran == []
