# SPDX-License-Identifier: GPL-3.0-or-later
"""Build CRIU for the lab's machines: in a chroot of their suite, with the collection's own playbook."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Sequence

from base import BUILD, PROJECT, LabError, digest, lock, output, run, say
from image import SUITE, chroot_argv, debootstrap, remove_tree

SOURCE_SUITE = "sid"
SOURCE_VERSION = "4.2.1"
ROLE = PROJECT / "roles" / "criu"
PLAYBOOK = "criu.hosts.build_criu"
# A change in one of these files, or in a Python file of one of these folders, makes a new artifact.
CODE = (
    "plugins/modules/criu_build.py",
    "plugins/module_utils/_criu_build",
    "playbooks/build_criu.yml",
    "roles/criu/tasks/build_dependencies.yml",
    "roles/criu/vars/Debian.yml",
)


def code_files(project: Path = PROJECT, names: Sequence[str] = CODE) -> list[Path]:
    """Return the files that decide the content of the artifact; each name must lead to one at least."""
    files: list[Path] = []
    for name in names:
        path = project / name
        found = [path] if path.is_file() else sorted(path.rglob("*.py"))
        if not found:
            raise LabError(
                f"Cannot compute the key of the artifact: {name!r} does not exist. Correct CODE in {__file__}."
            )
        files += found
    return files


def build_packages(text: str) -> list[str]:
    """Return the packages listed in the role's variables; they are installed when the chroot is made."""
    return re.findall(r"^ +- ([a-z0-9][a-z0-9.+-]+)$", text, re.MULTILINE)


def ensure_artifact(suite: str = SUITE) -> Path:
    """Return the path of CRIU's artifact for a suite; build it if it does not exist."""
    if os.geteuid():
        raise LabError("Cannot build CRIU: it is built in a chroot. Run this as root.")
    root = ensure_root(suite)
    source = ensure_source(root)
    texts = [suite, source.name, digest([], [source])]
    final = BUILD / f"artifact-{suite}-{digest(texts, code_files())}"
    artifact = final / "criu.tar.gz"
    if artifact.exists():
        return point_to(artifact, suite)
    copy = BUILD / "build.part"
    remove_tree(copy)
    try:
        build_criu_artifact(root, copy, source)
        for old in BUILD.glob(f"artifact-{suite}-*"):
            remove_tree(old)
        (copy / "out").mkdir()
        os.replace(copy / "root/criu.tar.gz", copy / "out" / artifact.name)
        os.replace(copy / "out", final)
    finally:
        remove_tree(copy)
    say(f"artifact {artifact.relative_to(BUILD)} is ready")
    return point_to(artifact, suite)


def artifact_link(suite: str = SUITE) -> Path:
    """Return the path that always names the current artifact of a suite."""
    return BUILD / ("criu-artifact.tar.gz" if suite == SUITE else f"criu-artifact-{suite}.tar.gz")


def point_to(artifact: Path, suite: str = SUITE) -> Path:
    """Link the artifact to the path that always names the current one; return that path."""
    link = artifact_link(suite)
    part = BUILD / "criu-artifact.link"
    part.unlink(missing_ok=True)
    part.symlink_to(artifact.relative_to(BUILD))
    os.replace(part, link)
    return link


def build_criu_artifact(root: Path, copy: Path, source: Path) -> None:
    """Run the collection's playbook in a copy of the chroot."""
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
        "compiling CRIU, with the collection's playbook, about 60 s",
        chroot_argv(copy, play, inside=False),
        env=ansible_environment(),
    )


def ansible_playbook() -> str:
    """Return the path of ansible-playbook: that of .build/venv if it exists, else the first one in PATH."""
    search = f"{PROJECT}/.build/venv/bin:{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    found = shutil.which("ansible-playbook", path=search)
    if not found:
        raise LabError("Cannot build CRIU: ansible-playbook is not installed. Run 'make venv collections' first.")
    return found


def ansible_environment() -> dict[str, str]:
    """Return an environment in which Ansible finds this collection and its dependencies."""
    build = PROJECT / ".build"
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": f"{build}:{build / 'collections'}",
        "ANSIBLE_HOME": str(build / "ansible"),
        **os.environ,
    }
    if not (build / "ansible_collections/criu/hosts").exists():
        raise LabError("Cannot build CRIU: .build has no link to the collection. Run 'make venv collections' first.")
    return {**environment, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}


def ensure_root(suite: str = SUITE) -> Path:
    """Return a root file system of a suite with the compiler and the headers; make it if it does not exist."""
    packages = ["ca-certificates", "python3", "python3-apt", *build_packages((ROLE / "vars/Debian.yml").read_text())]
    final = BUILD / f"buildroot-{suite}-{digest([suite, *packages])}"
    if not final.exists():
        for old in BUILD.glob(f"buildroot-{suite}-*"):
            remove_tree(old)
        part = BUILD / "buildroot.part"
        remove_tree(part)
        debootstrap(part, suite, packages, f"installing Debian {suite} with a compiler, about 60 s")
        os.replace(part, final)
    return final


def ensure_source(root: Path) -> Path:
    """Return Debian's source tarball of CRIU; apt verifies its signature and checksum."""
    folder = BUILD / f"source-{SOURCE_VERSION}"
    with lock("source.lock"):
        if not folder.exists():
            download_source(root, folder)
    return next(folder.glob("criu_*.orig.tar.*z"))


def download_source(root: Path, folder: Path) -> None:
    """Download the source tarball with the mirror of a root file system."""
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
    run("updating the source index, apt-get update", ["apt-get", *flags, "update"])
    run(
        "downloading the source of CRIU, apt-get source",
        ["apt-get", *flags, "source", "--download-only", "--tar-only", newest_wanted(flags)],
        cwd=part,
    )
    for name in ("lists", "archives"):
        remove_tree(part / name)
    os.replace(part, folder)


def newest_wanted(flags: list[str]) -> str:
    """Return the apt argument for the wanted source version, or for the newest if the suite no longer has it."""
    versions = choose_version(output(["apt-cache", *flags, "showsrc", "criu"]))
    say(f"source: CRIU {versions} from Debian {SOURCE_SUITE}")
    return f"criu={versions}"


def choose_version(showsrc: str) -> str:
    """Return the version to download from the output of apt-cache showsrc."""
    versions = re.findall(r"^Version: (\S+)$", showsrc, re.MULTILINE)
    if not versions:
        raise LabError(f"Cannot build CRIU: Debian {SOURCE_SUITE} has no source of criu. Check the mirror.")
    return next((one for one in versions if one.startswith(SOURCE_VERSION + "-")), versions[-1])
