# SPDX-License-Identifier: GPL-3.0-or-later
"""Test every way to build CRIU, in chroots of Debian: four versions from source, and the rebuilt package.

builds.py            run all tests, as root, in about 15 minutes on two cores
builds.py VERSION... build only these versions (3.17.1, 4.1.1, 4.2.1, 4.3), without the package

apt downloads the sources from Debian and verifies their checksums. Files that exist in .build/lab/sources are not
downloaded again. A source that Debian's mirror does not have is reported and counted as skipped.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import BUILD, LAB, RESULTS, ROOT, Entry, Report, ToolError, environment, main, say, venv_bin

sys.path.insert(0, str(LAB.parent))

from artifact import ensure_root
from image import debootstrap, remove_tree

SOURCES = BUILD / "lab/sources"
WORK = BUILD / "lab/builds"
PLAYS = ROOT / "tests/builds"
SUITES = ("bookworm", "trixie", "sid", "experimental")
LIBRARIES = (
    "ca-certificates libbsd0 libdrm-amdgpu1 libdrm2 libnet1 libnftables1 libnl-3-200 libprotobuf-c1 libselinux1 "
    "libuuid1 python3 python3-apt"
).split()
WHAT = {"criu_features": ["selinux", "nftables", "gnutls"], "criu_wanted": ["cuda", "amdgpu"]}
# Mounts that CRIU needs in a chroot, in a mount namespace of their own, so that they disappear with the command
HOST = (
    'mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev"'
    ' && mount -t tmpfs tmpfs "$1/run" && shift && exec "$@"'
)


@dataclass(frozen=True)
class Version:
    """A version to build: the suite of its source, whether Debian's patches are needed, and where it is built."""

    number: str
    suite: str
    patched: bool = False
    root: str = "trixie"
    # Whether criu check must pass; an old CRIU may reject a current kernel.
    check: bool = True


VERSIONS = (
    Version("3.17.1", "bookworm", patched=True, check=False),
    Version("4.1.1", "trixie"),
    Version("4.2.1", "sid"),
    Version("4.3", "experimental"),
)


def apt_options() -> list[str]:
    """Return options that make apt work in a folder of its own, with the source lists of all suites."""
    for name in ("lists/partial", "archives/partial"):
        (SOURCES / name).mkdir(parents=True, exist_ok=True)
    mirror = (ensure_root("trixie") / "etc/apt/sources.list").read_text().split()[1]
    (SOURCES / "sources.list").write_text("".join(f"deb-src {mirror} {suite} main\n" for suite in SUITES))
    options = {
        "Dir::Etc::sourcelist": f"{SOURCES}/sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": f"{SOURCES}/lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": f"{SOURCES}/archives",
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def full_versions(options: list[str]) -> dict[str, str]:
    """Return the available source versions of Debian, by upstream version."""
    subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
    shown = subprocess.run(
        ["apt-cache", *options, "showsrc", "criu"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = [line.split()[1] for line in shown.splitlines() if line.startswith("Version: ")]
    return {one.split("-")[0].split("~")[0].split(":")[-1]: one for one in found}


def fetch(options: list[str], full: str, *parts: str) -> list[Path] | None:
    """Download parts of a source package ("tar", "diff", "dsc") with apt; return None if the mirror lacks one."""
    upstream = full.split(":")[-1].split("-")[0]
    names = {
        "tar": f"criu_{upstream}.orig.tar.xz",
        "diff": f"criu_{full}.debian.tar.xz",
        "dsc": f"criu_{full}.dsc",
    }
    for part in parts:
        argv = ["apt-get", "-qq", *options, "source", "--download-only", f"--{part}-only", f"criu={full}"]
        if subprocess.run(argv, cwd=SOURCES, check=False).returncode:
            return None
    return [SOURCES / names[part] for part in parts]


def host_argv(root: Path, argv: list[str]) -> list[str]:
    """Return the command that runs a program outside a chroot, with the mounts that CRIU needs in it."""
    return ["unshare", "--mount", "--", "sh", "-c", HOST, "sh", str(root), *argv]


def play(playbook: str, roots: list[Path], **variables: Any) -> dict[str, Any]:
    """Run a playbook in chroots; return the result that it wrote."""
    result = WORK / "result.json"
    result.unlink(missing_ok=True)
    variables = {
        **variables,
        "builds_result": str(result),
        "ansible_become": False,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    inventory = "".join(f"{root}," for root in roots)
    argv = [f"{venv_bin()}/ansible-playbook", "-i", inventory, "-c", "community.general.chroot", playbook]
    argv += ["-e", json.dumps(variables)]
    for root in roots:
        shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
        argv = host_argv(root, argv)
    env = {**environment(), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        argv, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    (WORK / "last.log").write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        raise ToolError(f"{Path(playbook).name} failed. Its output ends with:\n{done.stdout[-2500:]}")
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    return found


def new_root(name: str, suite: str, *, compiler: bool) -> Path:
    """Return a new chroot of a suite, with a compiler and the headers or only with CRIU's libraries."""
    root = WORK / name
    if not root.exists():
        if compiler:
            subprocess.run(["cp", "-a", "--reflink=auto", str(ensure_root(suite)), str(root)], check=True)
        else:
            gnutls = "libgnutls30" if suite == "bookworm" else "libgnutls30t64"
            debootstrap(root, suite, [*LIBRARIES, gnutls], f"installing Debian {suite} without a compiler, about 30 s")
        shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
        subprocess.run(["chroot", str(root), "apt-get", "-qq", "update"], check=True)
    return root


def build_version(report: Report, version: Version, options: list[str], full: str | None) -> Path | None:
    """Build one version from Debian's source archives; return its artifact, or None if there is no source."""
    parts = ("tar", "diff") if version.patched else ("tar",)
    files = fetch(options, full, *parts) if full else None
    if files is None:
        note = f"the mirror does not have the complete source of {full or version.number}"
        report.add(Entry(f"CRIU {version.number}", skipped=1, notes=[note]))
        return None
    root = new_root(f"build-{version.root}", version.root, compiler=True)
    for file in files:
        shutil.copyfile(file, root / "root" / file.name)
    artifact = WORK / f"criu-{version.number}-{version.root}.tar.gz"
    began = time.monotonic()
    more = {"criu_source_patches": f"/root/{files[1].name}"} if version.patched else {}
    play(
        "criu.hosts.build_criu",
        [root],
        criu_source=f"/root/{files[0].name}",
        criu_artifact_path=f"/root/{artifact.name}",
        criu_artifact=str(artifact),
        **WHAT,
        **more,
    )
    seconds = time.monotonic() - began
    found = verify(new_root(f"plain-{version.root}", version.root, compiler=False), artifact, version)
    report.add(Entry(f"CRIU {version.number}, on Debian {version.root}", 1, seconds=seconds, notes=[found]))
    return artifact


def verify(root: Path, artifact: Path, version: Version) -> str:
    """Install an artifact in a chroot without a compiler; return a line that describes it."""
    shutil.copyfile(artifact, root / "root" / artifact.name)
    result = play(
        str(PLAYS / "artifact.yml"),
        [root],
        builds_artifact=f"/root/{artifact.name}",
        builds_version=version.number,
        builds_check=version.check,
    )
    build = result["build"]
    return (
        f"{build['version']}: {', '.join(build['features'])}; plugins {', '.join(build['plugins']) or 'none'};"
        f" glibc {build['libc']}; criu check: {result['check']}"
    )


def fleet(report: Report, source: Path) -> None:
    """Test that one of three hosts builds, that all install, and that a second run changes nothing."""
    roots = [new_root("build-trixie", "trixie", compiler=True)]
    roots += [new_root(name, "trixie", compiler=False) for name in ("fleet-1", "fleet-2")]
    shutil.copyfile(source, roots[0] / "root" / source.name)
    variables = {
        **WHAT,
        "criu_source": f"/root/{source.name}",
        "criu_artifact_path": "/root/criu-4.2.1-trixie.tar.gz",
        "criu_artifact": str(WORK / "fleet.tar.gz"),
    }
    began = time.monotonic()
    play("criu.hosts.install_criu", roots, **variables)
    log = (WORK / "last.log").read_text(encoding="utf-8")
    built = [line for line in section(log, "Build the artifact") if line.startswith(("changed:", "ok:"))]
    installed = [line for line in section(log, "Install CRIU from the artifact") if line.startswith("changed:")]
    good = len(built) == 1 and len(installed) == len(roots)
    notes = [f"{len(roots)} hosts, {len(built)} compiled, {len(installed)} installed"]
    report.add(
        Entry("one host builds, all install", int(good), int(not good), seconds=time.monotonic() - began, notes=notes)
    )
    play("criu.hosts.install_criu", roots, **variables)
    log = (WORK / "last.log").read_text(encoding="utf-8")
    changed = [line for line in log.splitlines() if line.startswith("changed:")]
    report.add(Entry("a second run changes nothing", int(not changed), int(bool(changed)), notes=changed[:3]))


def section(log: str, name: str) -> list[str]:
    """Return the lines of a task in the output of ansible-playbook."""
    parts = log.split("\nTASK [")
    return [line for part in parts if name in part.split("]")[0] for line in part.splitlines()[1:]]


def side_by_side(report: Report, artifacts: list[Path]) -> None:
    """Install several versions on one host, switch between them, fill the disk, and remove them all."""
    root = new_root("plain-trixie", "trixie", compiler=False)
    usable = [version.number for version in VERSIONS if version.check]
    names = [path.name for path in artifacts if path.name.split("-")[1] in usable]
    began = time.monotonic()
    if len(names) < 2:
        report.add(Entry("versions side by side", skipped=1, notes=["fewer than two versions were built"]))
        return
    result = play(str(PLAYS / "switch.yml"), [root], builds_artifacts=[f"/root/{name}" for name in names])
    seconds = time.monotonic() - began
    report.add(
        Entry("versions side by side, switching back, a full disk", 1, seconds=seconds, notes=[result["summary"]])
    )


def package(report: Report, options: list[str], known: dict[str, str]) -> None:
    """Rebuild the distribution's package in the first suite whose complete source the mirror has."""
    for upstream, suite in (("4.1.1", "trixie"), ("3.17.1", "bookworm")):
        full = known.get(upstream)
        if full and fetch(options, full, "tar", "diff", "dsc"):
            break
        report.add(
            Entry(f"package of {suite}", skipped=1, notes=[f"the mirror does not have the complete source of {full}"])
        )
    else:
        return
    began = time.monotonic()
    # The chroot has no headers: the playbook installs the build dependencies of the package.
    root = new_root(f"package-{suite}", suite, compiler=False)
    mirror = root / "srv/mirror"
    mirror.mkdir(parents=True, exist_ok=True)
    for file in SOURCES.glob(f"criu_{upstream}*"):
        shutil.copyfile(file, mirror / file.name)
    archive = WORK / f"criu-packages-{suite}.tar"
    play(str(PLAYS / "mirror.yml"), [root])
    play(
        "criu.hosts.build_criu_package",
        [root],
        criu_deb_src="deb-src [trusted=yes] file:/srv/mirror ./",
        criu_packages=str(archive),
    )
    plain = new_root(f"plain-package-{suite}", suite, compiler=False)
    shutil.copyfile(archive, plain / "root" / archive.name)
    result = play(str(PLAYS / "package.yml"), [plain], builds_archive=f"/root/{archive.name}")
    seconds = time.monotonic() - began
    report.add(Entry(f"package of {suite}, rebuilt", 1, seconds=seconds, notes=[result["summary"]]))


def work() -> int:
    """Run all tests; remove the remains of an earlier run first."""
    if os.geteuid():
        raise ToolError("Cannot build CRIU: the builds run in chroots. Run this as root.")
    wanted = sys.argv[1:]
    report = Report("builds")
    remove_tree(WORK)
    WORK.mkdir(parents=True, exist_ok=True)
    options = apt_options()
    known = full_versions(options)
    artifacts = []
    for version in VERSIONS:
        if not wanted or version.number in wanted:
            artifacts.append(build_version(report, version, options, known.get(version.number)))
    side_by_side(report, [path for path in artifacts if path])
    source = SOURCES / "criu_4.2.1.orig.tar.xz"
    if not wanted and source.exists():
        fleet(report, source)
        package(report, options, known)
    say(f"Debian chroots on {platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores")
    remove_tree(WORK)
    RESULTS.mkdir(parents=True, exist_ok=True)
    return report.finish()


if __name__ == "__main__":
    main(work)
