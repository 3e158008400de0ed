# SPDX-License-Identifier: GPL-3.0-or-later
"""Build CRIU for the lab's machine: natively in a root of its suite, by the collection's own playbook."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from base import BUILD, PROJECT, LabError, digest, output, run, say
from image import SUITE, chroot_argv, debootstrap, remove_tree

SOURCE_SUITE = "sid"
SOURCE_VERSION = "4.2.1"
ROLE = PROJECT / "roles" / "criu"
PLAYBOOK = "criu.hosts.build_criu"
# What decides how the artifact comes out
CODE = (
    PROJECT / "plugins/modules/criu_build.py",
    PROJECT / "plugins/module_utils/_criu_build/compile.py",
    PROJECT / "plugins/module_utils/_criu_build/choice.py",
    PROJECT / "plugins/module_utils/_criu_build/manifest.py",
    PROJECT / "plugins/module_utils/_criu_build/needs.py",
    PROJECT / "playbooks/build_criu.yml",
    ROLE / "tasks/build_dependencies.yml",
    ROLE / "vars/Debian.yml",
)


def build_packages(text: str) -> list[str]:
    """Return the packages listed in the role's variables; the root has them from the start."""
    return re.findall(r"^ +- ([a-z0-9][a-z0-9.+-]+)$", text, re.MULTILINE)


def ensure_artifact() -> Path:
    """Return the path of CRIU's artifact, built when it is not there."""
    if os.geteuid():
        raise LabError("CRIU is built in a chroot: run this as root")
    root = ensure_root()
    source = ensure_source(root)
    texts = [SUITE, source.name, digest([], [source])]
    final = BUILD / f"artifact-{digest(texts, CODE)}"
    artifact = final / "criu.tar.gz"
    if artifact.exists():
        return point_to(artifact)
    copy = BUILD / "build.part"
    remove_tree(copy)
    try:
        build_criu_artifact(root, copy, source)
        for old in BUILD.glob("artifact-*"):
            remove_tree(old)
        (copy / "out").mkdir()
        os.replace(copy / "root/criu.tar.gz", copy / "out" / artifact.name)
        os.replace(copy / "out", final)
    finally:
        remove_tree(copy)
    say(f"artifact {artifact.relative_to(BUILD)} is ready")
    return point_to(artifact)


def point_to(artifact: Path) -> Path:
    """Return the one path under which the artifact is always found."""
    link = BUILD / "criu-artifact.tar.gz"
    part = BUILD / "criu-artifact.link"
    part.unlink(missing_ok=True)
    part.symlink_to(artifact.relative_to(BUILD))
    os.replace(part, link)
    return link


def build_criu_artifact(root: Path, copy: Path, source: Path) -> None:
    """Run the collection's playbook in a copy of the root."""
    output(["cp", "-a", "--reflink=auto", str(root), str(copy)])
    shutil.copyfile("/etc/resolv.conf", copy / "etc/resolv.conf")
    shutil.copyfile(source, copy / "root" / source.name)
    variables = {
        "criu_source": f"/root/{source.name}",
        "criu_artifact_path": "/root/criu.tar.gz",
        "ansible_become": "false",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    play = [ansible_playbook(), "-i", f"{copy},", "-c", "community.general.chroot", PLAYBOOK]
    for name, value in variables.items():
        play += ["-e", f"{name}={value}"]
    run(
        "CRIU, compiled by the collection's playbook in about 60 s",
        chroot_argv(copy, play, inside=False),
        env=ansible_environment(),
    )


def ansible_playbook() -> str:
    """Return the path of ansible-playbook: that of the project's environment, else the first in PATH."""
    search = f"{PROJECT}/.build/venv/bin:{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    found = shutil.which("ansible-playbook", path=search)
    if not found:
        raise LabError("ansible-playbook is not there: run 'make venv collections' first")
    return found


def ansible_environment() -> dict[str, str]:
    """Return an environment in which Ansible finds the collection and those that it needs."""
    build = PROJECT / ".build"
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": f"{build}:{build / 'collections'}",
        "ANSIBLE_HOME": str(build / "ansible"),
        **os.environ,
    }
    if not (build / "ansible_collections/criu/hosts").exists():
        raise LabError("the collection is not linked into .build: run 'make venv collections' first")
    return {**environment, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}


def ensure_root(suite: str = SUITE) -> Path:
    """Return a root file system of a suite with a compiler and the headers."""
    packages = ["ca-certificates", "python3", "python3-apt", *build_packages((ROLE / "vars/Debian.yml").read_text())]
    final = BUILD / f"buildroot-{suite}-{digest([suite, *packages])}"
    if not final.exists():
        for old in BUILD.glob(f"buildroot-{suite}-*"):
            remove_tree(old)
        part = BUILD / "buildroot.part"
        remove_tree(part)
        debootstrap(part, suite, packages, f"Debian {suite} with a compiler, about 60 s")
        os.replace(part, final)
    return final


def ensure_source(root: Path) -> Path:
    """Return CRIU's source tarball as Debian has it; apt checks its signature and sum."""
    folder = BUILD / f"source-{SOURCE_VERSION}"
    if not folder.exists():
        part = BUILD / "source.part"
        remove_tree(part)
        lists = part / "lists"
        for name in ("lists/partial", "archives/partial"):
            (part / name).mkdir(parents=True)
        mirror = (root / "etc/apt/sources.list").read_text().split()[1]
        (part / "sources.list").write_text(f"deb-src {mirror} {SOURCE_SUITE} main\n")
        options = [
            f"Dir::Etc::sourcelist={part}/sources.list",
            "Dir::Etc::sourceparts=/dev/null",
            f"Dir::State::lists={lists}",
            f"Dir::Cache={part}/archives",
            "Acquire::Check-Valid-Until=false",
            "APT::Sandbox::User=root",
            "Acquire::Languages=none",
            "Dir::State::status=/dev/null",
        ]
        flags = [word for option in options for word in ("-o", option)]
        run("source index, apt-get update", ["apt-get", *flags, "update"])
        run(
            "source of CRIU, apt-get source",
            ["apt-get", *flags, "source", "--download-only", "--tar-only", newest_wanted(flags)],
            cwd=part,
        )
        for name in ("lists", "archives"):
            remove_tree(part / name)
        os.replace(part, folder)
    return next(folder.glob("criu_*.orig.tar.*z"))


def newest_wanted(flags: list[str]) -> str:
    """Return apt's word for the wanted source version, or for the newest when the suite has moved on."""
    versions = choose_version(output(["apt-cache", *flags, "showsrc", "criu"]))
    say(f"CRIU {versions} from {SOURCE_SUITE}")
    return f"criu={versions}"


def choose_version(showsrc: str) -> str:
    """Return the version to fetch out of what apt-cache showsrc prints."""
    versions = re.findall(r"^Version: (\S+)$", showsrc, re.MULTILINE)
    if not versions:
        raise LabError(f"Debian {SOURCE_SUITE} offers no source of criu")
    return next((one for one in versions if one.startswith(SOURCE_VERSION + "-")), versions[-1])
