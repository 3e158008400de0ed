# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import package_archive
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import package_plan as plans
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.package_debian import Deb
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.package_redhat import Rpm
from ansible_collections.criu.hosts.plugins.modules import criu_package
from ansible_collections.criu.hosts.tests.unit import criu_host as fake
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply, Write, put_host

URIS = ["apt-get", "-q", "source", "--print-uris", "--download-only", "--only-source", "criu"]
QUERY = ["dpkg-query", "-W", "-f", "${source:Package} ${db:Status-Status} ${Package} ${Version}\n"]
MADISON = ["apt-cache", "madison", "criu"]
SOURCE = (fake.FIXTURES / "apt/2.6.1-source-print-uris.txt").read_text(encoding="utf-8")
CONTROL = (fake.FIXTURES / "dpkg/criu-3.17.1-control.txt").read_text(encoding="utf-8")
CHANGELOG = (fake.FIXTURES / "dpkg/criu-3.17.1-changelog.txt").read_text(encoding="utf-8")
OFFERED = (fake.FIXTURES / "apt/2.6.1-madison.txt").read_text(encoding="utf-8")
THEIRS, OURS = "3.17.1-2+deb12u2", "1:3.17.1-2+deb12u2+criuhosts1"
DEBIAN12 = 'VERSION_ID="12"\nID=debian\n'
FILE = "criu_3.17.1-2+deb12u2+criuhosts1_amd64.deb"
NOTHING = Reply(QUERY, "bash installed bash 5.2.15-2+b8\n")


def rows(version: str, state: str = "any") -> Reply:
    return Reply(QUERY, f"bash installed bash 5.2.15-2+b8\ncriu installed criu {version}\n", state=state)


def machine(folder: Path, release: str = DEBIAN12) -> None:
    put_host(folder)
    criu_package.MACHINE = "x86_64"
    fake.put(folder / "etc/os-release", release)
    fake.put(folder / "run/criu.kdat", "old")
    fake.put(folder / "usr/sbin/criu", "the distribution's", 0o755)


def want(folder: Path, **params: Any) -> plans.Wanted:
    given = {key: spec.get("default") for key, spec in criu_package.SPEC.items()}
    return plans.Wanted.from_params(
        {**given, "path": str(folder / "criu.tar"), "jobs": 2, **params}, paths=Paths(str(folder)), machine="x86_64"
    )


class Anything:
    """A runner that has every tool and one source package."""

    def which(self, name: str) -> str:
        return name

    def run(self, argv: Any, **dummy: Any) -> Any:
        return Completed(tuple(argv), 0, SOURCE if argv[0] == "apt-get" else "criu-4.1-1.fc42.src.rpm\n", "")


def building(folder: Path, way: Any, binary: bytes = fake.WITH_SELINUX, **params: Any) -> list[Any]:
    """What a build runs, and what it leaves on the disk."""
    wanted = want(folder, **params)
    job = plans.make_job(Anything(), way, wanted)  # type: ignore[arg-type]
    work, out = Path(job.work), Path(job.out)

    def unpack() -> None:
        fake.put(work / "src/debian/control", CONTROL)
        fake.put(work / "src/debian/changelog", CHANGELOG)
        fake.put(work / "rpmbuild/SPECS/criu.spec", "Version: 4.1\nRelease: 1%{?dist}\nBuildRequires: gcc\n")

    def compile_it() -> None:
        fake.put(work / "src/debian/criu/usr/sbin/criu", binary, 0o755)
        fake.put(work / "src/debian/criu/DEBIAN/control", f"Package: criu\nVersion: {OURS}\nDepends: libc6 (>= 2.36)\n")
        fake.put(work / "rpmbuild/BUILD/criu-4.1-build/criu-4.1/criu/criu", binary, 0o755)

    def collect() -> None:
        for name in (FILE,) if way.kind == "deb" else ("criu-4.1-1.fc42.criuhosts1.x86_64.rpm",):
            fake.put(out / name, f"package {name}")

    def pack() -> None:
        members = {f"./{path.name}": path.read_bytes() for path in out.iterdir()}
        fake.tarball(Path(f"{job.packed}.partial"), members, "w")

    effects = {"dpkg-source": unpack, "rpm": unpack, "env": compile_it, "rpmbuild": compile_it, "find": collect}
    effects["tar"] = pack
    steps = plans.plan_built(way, wanted, job).steps
    return [Write(list(step.argv), effect=effects.get(step.argv[0])) for step in steps if isinstance(step, Command)]


def built(folder: Path) -> Any:
    machine(folder)
    writes = building(folder, Deb())
    return {"state": "built", "path": str(folder / "criu.tar"), "jobs": 2}, Host([Reply(URIS, SOURCE), *writes])


def built_rpm(folder: Path) -> Any:
    machine(folder, fake.FEDORA)
    writes = building(folder, Rpm(dnf5=True))
    query = ["dnf", "--quiet", "repoquery", "--latest-limit=1", "--qf", "%{sourcerpm}\n", "criu"]
    reply = Reply(query, "criu-4.1-1.fc42.src.rpm\n")
    return {"state": "built", "path": str(folder / "criu.tar"), "jobs": 2}, Host([reply, *writes])


def archive(folder: Path, name: str = FILE, **changes: Any) -> Path:
    """An archive as state=built leaves it."""
    content = b"package"
    files = {FILE: {"package": "criu", "version": OURS, "sha256": hashlib.sha256(content).hexdigest(), "depends": []}}
    manifest = {
        "id": "0123456789ab",
        "kind": "deb",
        "source_version": THEIRS,
        "version": OURS,
        "features": ["selinux"],
        "architecture": "x86_64",
        "built_on": "debian 12",
        "files": files,
        **changes,
    }
    members = {f"./{name}": content, "./packages.json": json.dumps(manifest).encode(), "./Packages": b""}
    return fake.tarball(folder / "criu.tar", members, "w")


def installing(folder: Path) -> list[str]:
    return list(Deb().install_argv([f"{folder}/var/lib/criu-hosts/packages/{FILE}"]))


def install_over(folder: Path) -> Any:
    machine(folder)
    path = archive(folder)
    host = [rows(THEIRS, "before"), rows(OURS, "after"), Write(installing(folder), turns=True)]
    return {"path": str(path)}, Host(host)


def install_new(folder: Path) -> Any:
    machine(folder)
    path = archive(folder)
    before = Reply(QUERY, NOTHING.out, state="before")
    return {"path": str(path)}, Host([before, rows(OURS, "after"), Write(installing(folder), turns=True)])


def installed_already(folder: Path) -> Any:
    machine(folder)
    return {"path": str(archive(folder))}, Host([rows(OURS)])


def give_back(folder: Path) -> Any:
    machine(folder)
    argv = list(Deb().give_back(Listing(), ["criu"], "criuhosts1")[0])  # type: ignore[arg-type]
    replies = [rows(OURS, "before"), rows(THEIRS, "after"), Reply(MADISON, OFFERED), Write(argv, turns=True)]
    return {"state": "absent"}, Host(replies)


def given_back_already(folder: Path) -> Any:
    machine(folder)
    return {"state": "absent"}, Host([rows(THEIRS)])


RPM_FILE = "criu-4.1-1.fc42.criuhosts1.x86_64.rpm"
RPM_OURS = "1:4.1-1.fc42.criuhosts1"
RPM_QUERY = ["rpm", "-qa", "--qf", "%{SOURCERPM} %{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE}\n"]


def rpm_rows(version: str, state: str) -> Reply:
    return Reply(RPM_QUERY, f"criu-4.1-1.fc42.src.rpm criu {version}\n", state=state)


def install_rpm(folder: Path) -> Any:
    machine(folder, fake.FEDORA)
    one = {"package": "criu", "version": RPM_OURS, "sha256": hashlib.sha256(b"package").hexdigest()}
    path = archive(
        folder,
        kind="rpm",
        built_on="fedora 43",
        version=RPM_OURS,
        files={RPM_FILE: {**one, "depends": []}},
        name=RPM_FILE,
    )
    argv = list(Rpm(dnf5=True).install_argv([f"{folder}/var/lib/criu-hosts/packages/{RPM_FILE}"]))
    replies = [rpm_rows("0:4.1-1.fc42", "before"), rpm_rows(RPM_OURS, "after"), Write(argv, turns=True)]
    return {"path": str(path)}, Host(replies)


def give_rpm_back(folder: Path) -> Any:
    machine(folder, fake.FEDORA)
    argv = ["dnf", "-q", "-y", "distro-sync", "criu"]
    replies = [rpm_rows(RPM_OURS, "before"), rpm_rows("0:4.1-1.fc42", "after"), Write(argv, turns=True)]
    return {"state": "absent"}, Host(replies)


class Listing(Anything):
    """A runner whose apt-cache lists the distribution's package."""

    def run(self, argv: Any, **dummy: Any) -> Any:
        return Completed(tuple(argv), 0, OFFERED, "")


CONTRACT_CASES = [
    Case("built", built),
    Case("built-rpm", built_rpm),
    Case("install-over-the-distribution's", install_over),
    Case("install-new", install_new),
    Case("installed-already", installed_already, changed=False),
    Case("give-back", give_back),
    Case("given-back-already", given_back_already, changed=False),
    Case("install-rpm", install_rpm),
    Case("give-rpm-back", give_rpm_back),
]


def test_what_is_built(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = built(tmp_path)
    run = module("criu_package", params, host=host)
    found = run.result["package"]
    assert (found["version"], found["source_version"], found["features"]) == (OURS, THEIRS, ["selinux", "nftables"])
    assert list(found["files"]) == [FILE] and found["files"][FILE]["package"] == "criu"
    assert package_archive.read_archive(params["path"]).id == found["id"]
    assert list((tmp_path / "var/lib/criu-hosts/packages").iterdir()) == []


def test_an_archive_that_was_damaged_is_built_again(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = built(tmp_path)
    first = module("criu_package", params, host=host).result
    before = file_sha256(params["path"])
    assert module("criu_package", params, host=host).result["changed"] is False
    with open(params["path"], "r+b") as handle:
        handle.seek(600)
        handle.write(b"damaged")
    assert module("criu_package", params, host=host).result["package"] == first["package"]
    assert file_sha256(params["path"]) == before


def test_the_cache_of_the_kernel_is_forgotten(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = install_over(tmp_path)
    run = module("criu_package", params, host=host)
    assert run.result["package"]["installed"] == {"criu": OURS} and run.result["package"]["in_use"] is True
    assert not (tmp_path / "run/criu.kdat").exists()
    assert not (tmp_path / "var/lib/criu-hosts/packages").exists()


def test_a_build_beside_it_stays_in_use(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = installed_already(tmp_path)
    fake.unpacked(tmp_path, fake.manifest(), "a" * 64)
    (tmp_path / "usr/sbin/criu").unlink()
    fake.link(tmp_path / "usr/sbin/criu", tmp_path / "opt/criu-hosts" / fake.manifest().tree / "sbin/criu")
    assert module("criu_package", params, host=host).result["package"]["in_use"] is False


def test_without_a_package_to_give_back_ours_is_removed(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine(tmp_path)
    gone = Reply(QUERY, NOTHING.out, state="after")
    remove = Write([*give_back(tmp_path)[1].replies[3].argv[:5], "remove", "criu"], turns=True)
    host = Host([rows(OURS, "before"), gone, Reply(MADISON, f"criu | {OURS} | file:/srv ./ Packages\n"), remove])
    run = module("criu_package", {"state": "absent"}, host=host)
    assert run.result["changed"] and run.result["package"] is None


@pytest.mark.parametrize(
    ("output", "reason", "packages"),
    [
        pytest.param(
            "dpkg-checkbuilddeps: error: Unmet build dependencies: libnet1-dev xmlto (>= 0.0.28)\n",
            "build_dependency_missing",
            ["libnet1-dev", "xmlto"],
            id="dependencies",
        ),
        pytest.param("dpkg-checkbuilddeps: error: Build conflicts: libdrm-dev\n", "build_failed", None, id="conflict"),
        pytest.param("criu/a.c:1: error: no\nmake: *** [x] Error 2\n", "build_failed", None, id="compiler"),
    ],
)
def test_a_failed_build_leaves_nothing(
    output: str, reason: str, packages: list[str] | None, tmp_path: Path, module: Callable[..., Any]
) -> None:
    params, host = built(tmp_path)
    host.replies = [Write(reply.argv, rc=2, err=output) if reply.argv[0] == "env" else reply for reply in host.replies]
    run = module("criu_package", params, host=host)
    assert run.result["reason"] == reason and run.result.get("packages") == packages
    assert run.result["log_tail"] and "\n" not in run.result["msg"]
    assert list((tmp_path / "var/lib/criu-hosts/packages").iterdir()) == [] and not (tmp_path / "criu.tar").exists()


def test_a_package_without_the_feature_is_not_kept(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine(tmp_path)
    params = {"state": "built", "path": str(tmp_path / "criu.tar"), "jobs": 2}
    host = Host([Reply(URIS, SOURCE), *building(tmp_path, Deb(), fake.WITHOUT_SELINUX)])
    run = module("criu_package", params, host=host)
    assert run.result["reason"] == "feature_missing" and not (tmp_path / "criu.tar").exists()


@pytest.mark.parametrize(
    ("params", "changes", "reason"),
    [
        pytest.param({}, {"architecture": "aarch64"}, "artifact_unusable", id="other-machine"),
        pytest.param({}, {"built_on": "debian 13"}, "artifact_unusable", id="other-distribution"),
        pytest.param({}, {"kind": "rpm"}, "artifact_invalid", id="other-kind"),
        pytest.param({}, {"files": {}}, "artifact_invalid", id="no-criu-in-it"),
        pytest.param({}, {"id": "../../etc"}, "artifact_invalid", id="strange-id"),
        pytest.param({"path": "{folder}/etc/os-release"}, {}, "artifact_invalid", id="no-archive"),
        pytest.param({"path": "/nowhere"}, {}, "artifact_missing", id="no-file"),
        pytest.param({"suffix": "-1 x"}, {}, "suffix_invalid", id="strange-suffix"),
    ],
)
def test_bad_input(
    params: dict[str, str], changes: dict[str, Any], reason: str, tmp_path: Path, module: Callable[..., Any]
) -> None:
    machine(tmp_path)
    given = {"path": str(archive(tmp_path, **changes)), **params}
    given = {key: value.format(folder=tmp_path) for key, value in given.items()}

    def without_locks() -> list[Path]:
        ours = str(tmp_path / "run/criu-hosts")
        return sorted(path for path in tmp_path.rglob("*") if not str(path).startswith(ours))

    before = without_locks()
    run = module("criu_package", given, host=Host([rows(THEIRS)]))
    assert run.result["reason"] == reason and "\n" not in run.result["msg"]
    assert without_locks() == before


def test_a_path_that_leaves_the_archive(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = install_over(tmp_path)
    with tarfile.open(params["path"]) as content:
        members = {one.name: content.extractfile(one).read() for one in content}  # type: ignore[union-attr]
    fake.tarball(Path(params["path"]), {**members, "../../../evil": b"x"}, "w")
    run = module("criu_package", params, host=host)
    assert run.result["reason"] == "unpack_failed" and host.wrote == [] and not list(tmp_path.rglob("evil"))


def test_without_source_packages(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine(tmp_path)
    error = "E: You must put some 'deb-src' URIs in your sources.list\n"
    host = Host([Reply(URIS, "", error, rc=100)])
    run = module("criu_package", {"state": "built", "path": str(tmp_path / "x.tar")}, host=host)
    assert run.result["reason"] == "source_unavailable" and "deb-src" in run.result["msg"]


def test_without_tools(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine(tmp_path)
    host = Host(missing=["dpkg-buildpackage", "gcc"])
    run = module("criu_package", {"state": "built", "path": str(tmp_path / "x.tar")}, host=host)
    assert run.result["reason"] == "build_dependency_missing" and host.ran == []
    assert run.result["packages"] == ["build-essential", "dpkg-dev"]


def test_on_another_family(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine(tmp_path, "ID=alpine\nVERSION_ID=3.22\n")
    assert module("criu_package", {"state": "absent"}, host=Host()).result["reason"] == "distribution_unknown"


def test_a_second_build_at_the_same_time(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = built(tmp_path)
    folder = tmp_path / "var/lib/criu-hosts"
    folder.mkdir(parents=True)
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    run = module("criu_package", params, host=host)
    os.close(other)
    assert run.result["reason"] == "busy" and host.wrote == []


@pytest.mark.parametrize("how", ["rename", "write", "remove"])
def test_packages_that_are_swapped_after_their_check(
    how: str, tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is installed is what was verified."""
    params, host = install_over(tmp_path)
    path, installed = Path(params["path"]), tmp_path / f"var/lib/criu-hosts/packages/{FILE}"
    seen: list[bytes] = []
    *replies, install = host.replies
    host.replies = [*replies, replace(install, effect=lambda: seen.append(installed.read_bytes()))]
    apply = Context.apply

    def swap(ctx: Context, plan: Any) -> Any:
        evil = fake.tarball(tmp_path / "evil.tar", {f"./{FILE}": b"evil"}, "w")
        if how == "rename":
            evil.rename(path)
        elif how == "write":
            path.write_bytes(evil.read_bytes())
        else:
            path.unlink()
        return apply(ctx, plan)

    monkeypatch.setattr(Context, "apply", swap)
    assert not module("criu_package", params, host=host).failed
    assert seen == [b"package"]
    assert not [one for one in (tmp_path / "var/lib/criu-hosts").iterdir() if "packages" in one.name]


def test_an_archive_of_packages_that_is_no_file(tmp_path: Path, module: Callable[..., Any]) -> None:
    machine(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    run = module("criu_package", {"path": str(tmp_path / "pipe")}, host=Host())
    assert run.result["reason"] == "artifact_invalid"
