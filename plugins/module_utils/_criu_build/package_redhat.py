# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Rebuilds CRIU's package on Fedora and Enterprise Linux: dnf download, rpmbuild, dnf install."""

from __future__ import annotations

import os
import re
from typing import ClassVar, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import package_archive as package
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.package_archive import (
    File,
    Job,
    Source,
    collect_argv,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import demand_text


class Rpm:
    """Builds and installs packages on Fedora, CentOS Stream and RHEL."""

    kind: ClassVar[str] = "rpm"
    tools: ClassVar[dict[str, str]] = {
        "dnf": "dnf",
        "rpm": "rpm",
        "rpmbuild": "rpm-build",
        "createrepo_c": "createrepo_c",
        "gcc": "gcc",
    }

    def __init__(self, *, dnf5: bool) -> None:
        self.download = "--srpm" if dnf5 else "--source"

    def source(self, runner: Runner, version: str | None) -> Source:
        name = f"criu-{version}" if version else "criu"
        done = runner.run(["dnf", "--quiet", "repoquery", "--latest-limit=1", "--qf", "%{sourcerpm}\n", name])
        found = parse_sourcerpm(done.out) if done.rc == 0 else None
        if found is None:
            raise package.source_unavailable(
                f"dnf repoquery {name} finds none ({done.last_line.rstrip('.')})", "Enable the repository that has criu"
            )
        return found

    def raised(self, version: str, suffix: str) -> str:
        epoch, colon, rest = version.partition(":")
        return f"{int(epoch) + 1 if colon else 1}:{rest if colon else version}.{suffix}"

    def build_steps(self, job: Job) -> tuple[Step, ...]:
        top = f"{job.work}/rpmbuild"
        spec = f"{top}/SPECS/criu.spec"
        names = package.needed_packages(job.features, "redhat")
        define = ("--define", f"_topdir {top}")
        return (
            Command(
                ("dnf", "-q", "-y", "download", self.download, "--destdir", job.work, f"criu-{job.source.version}"),
                why="fetch the source package",
            ),
            Command(("rpm", "-i", *define, f"{job.work}/{job.source.file}"), why="unpack the source package"),
            WriteFile(spec, lambda: edit_spec(demand_text(spec), names, job.suffix), 0o644),
            Command(
                ("rpmbuild", "-bb", "--noclean", "--nocheck", *define, "--define", f"_smp_mflags -j{job.jobs}", spec),
                why="build the packages",
                label="build",
            ),
            Command(collect_argv(f"{top}/RPMS", "*.rpm", "*-debug*", job.out), why="collect the packages"),
            Command(("createrepo_c", "--quiet", job.out), why="make the index of a repository"),
        )

    def binary(self, job: Job) -> str:
        """Returns the path of the program that rpmbuild has compiled.

        It is BUILD/criu-4.1/criu/criu, and one folder deeper since rpm 4.20.
        """
        top = f"{job.work}/rpmbuild/BUILD"
        for folder, dummy_folders, files in os.walk(top):
            if os.path.basename(folder) == "criu" and "criu" in files and "BUILDROOT" not in folder:
                return f"{folder}/criu"
        return f"{top}/criu/criu"

    def files(self, job: Job) -> dict[str, File]:
        names = [name for name in sorted(os.listdir(job.out)) if name.endswith(".rpm")]
        family = {package_of(name) for name in names}
        return {
            name: File(
                package=package_of(name),
                version=job.version,
                sha256=file_sha256(f"{job.out}/{name}"),
                # The exact dependencies are in the package's header, which is not read: libraries are always included.
                depends=tuple(sorted(one for one in family if one.endswith("-libs"))),
            )
            for name in names
        }

    def installed(self, runner: Runner) -> dict[str, str]:
        form = "%{SOURCERPM} %{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE}\n"
        rows = (line.split() for line in runner.run(["rpm", "-qa", "--qf", form]).out.splitlines())
        return {row[1]: without_zero(row[2]) for row in rows if len(row) == 3 and parse_sourcerpm(row[0])}

    def install_argv(self, paths: Iterable[str]) -> tuple[str, ...]:
        return ("dnf", "-q", "-y", "install", *paths)

    def give_back(self, runner: Runner, names: Iterable[str], suffix: str) -> tuple[tuple[str, ...], dict[str, str]]:
        return ("dnf", "-q", "-y", "distro-sync", *sorted(names)), dict.fromkeys(names, "the distribution's")


def parse_sourcerpm(text: str) -> Source | None:
    """Returns the source package in the output of dnf repoquery, such as criu-4.1-1.fc42.src.rpm."""
    found = re.search(r"^(criu-(\S+)\.(?:no)?src\.rpm)$", text, re.MULTILINE)
    return Source(version=found.group(2), identity=found.group(1), file=found.group(1)) if found else None


def package_of(file: str) -> str:
    """Returns the name in NAME-VERSION-RELEASE.ARCH.rpm."""
    return file.rsplit("-", 2)[0]


def without_zero(version: str) -> str:
    return version[2:] if version.startswith("0:") else version


def edit_spec(spec: str, names: Iterable[str], suffix: str) -> str:
    """Returns the text of criu.spec with the build dependencies ``names``, the next epoch and a suffix to the release.

    A dependency on %{version}-%{release} means epoch 0, so dependencies between CRIU's packages get the epoch as well.
    """
    required = re.findall(r"^BuildRequires:\s*(.*)$", spec, re.MULTILINE)
    words = {word for line in required for word in re.split(r"[\s,]+", line)}
    missing = "".join(f"BuildRequires: {name}\n" for name in names if name not in words)
    spec = re.sub(r"^BuildRequires:", f"{missing}BuildRequires:", spec, count=1, flags=re.MULTILINE)
    epoch = re.search(r"^Epoch:\s*(\d+)\s*$", spec, re.MULTILINE)
    if epoch:
        spec = spec[: epoch.start()] + f"Epoch: {int(epoch.group(1)) + 1}" + spec[epoch.end() :]
    else:
        spec = re.sub(r"^(Version:.*)$", r"\1\nEpoch: 1", spec, count=1, flags=re.MULTILINE)
    spec = re.sub(r"^(Release:\s*)%autorelease(.*)$", r"\1%{autorelease\2}", spec, count=1, flags=re.MULTILINE)
    spec = re.sub(r"^Release:.*\S", rf"\g<0>.{suffix}", spec, count=1, flags=re.MULTILINE)
    return re.sub(
        r"^(Requires:.*= )%\{version\}-%\{release\}", r"\1%{epoch}:%{version}-%{release}", spec, flags=re.MULTILINE
    )


def missing_packages(text: str) -> list[str]:
    """Returns the packages that rpmbuild reports as missing: "    NAME is needed by criu-...", one per line."""
    return re.findall(r"^[ \t]+(\S+)(?: [<>=]+ \S+)? is needed by criu", text, re.MULTILINE)
