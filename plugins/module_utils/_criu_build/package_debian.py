# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Rebuilds CRIU's package on Debian: apt-get source, dpkg-buildpackage, apt-get install."""

from __future__ import annotations

import os
import re
from typing import ClassVar, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
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

# If it is installed, CRIU builds a plugin with it. Debian's package neither requires it nor expects the plugin.
UNASKED = "libdrm-dev"
APT = ("apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confold")


class Deb:
    """Builds and installs packages on the Debian family."""

    kind: ClassVar[str] = "deb"
    tools: ClassVar[dict[str, str]] = {
        "apt-get": "apt",
        "dpkg-source": "dpkg-dev",
        "dpkg-buildpackage": "dpkg-dev",
        "gcc": "build-essential",
    }

    def source(self, runner: Runner, version: str | None) -> Source:
        name = f"criu={version}" if version else "criu"
        argv = ["apt-get", "-q", "source", "--print-uris", "--download-only", "--only-source", name]
        # In a folder that has the files already, apt-get does not list them.
        done = runner.run(argv, cwd="/")
        found = parse_uris(done.out) if done.rc == 0 else None
        if found is None:
            raise package.source_unavailable(
                f"apt-get source {name} offers none ({done.last_line.rstrip('.')})",
                "Add a deb-src entry to apt's sources and update its lists",
            )
        return found

    def raised(self, version: str, suffix: str) -> str:
        epoch, colon, rest = version.partition(":")
        return f"{int(epoch) + 1 if colon else 1}:{rest if colon else version}+{suffix}"

    def build_steps(self, job: Job) -> tuple[Step, ...]:
        source = f"{job.work}/src"
        control, changelog = f"{source}/debian/control", f"{source}/debian/changelog"
        names = package.needed_packages(job.features, "debian")
        return (
            Command(
                ("apt-get", "-q", "source", "--download-only", "--only-source", f"criu={job.source.version}"),
                why="fetch the source package",
                cwd=job.work,
            ),
            Command(("dpkg-source", "-x", job.source.file, source), why="unpack the source package", cwd=job.work),
            WriteFile(control, lambda: add_build_depends(demand_text(control), names), 0o644),
            WriteFile(changelog, lambda: add_entry(demand_text(changelog), job.version, names), 0o644),
            Command(
                ("env", f"DEB_BUILD_OPTIONS=nocheck parallel={job.jobs}", "dpkg-buildpackage", "-b", "-uc", "-us"),
                why="build the packages",
                cwd=source,
                label="build",
            ),
            Command(collect_argv(job.work, "*.deb", "*-dbgsym_*", job.out), why="collect the packages"),
            WriteFile(f"{job.out}/Packages", lambda: self.index(job), 0o644, why="make the index of a repository"),
        )

    def binary(self, job: Job) -> str:
        return f"{job.work}/src/debian/criu/usr/sbin/criu"

    def controls(self, job: Job) -> dict[str, str]:
        """Returns the control text of each collected package file."""
        texts = {}
        for name in sorted(os.listdir(job.out)):
            if name.endswith(".deb"):
                texts[name] = demand_text(f"{job.work}/src/debian/{name.split('_')[0]}/DEBIAN/control")
        return texts

    def files(self, job: Job) -> dict[str, File]:
        controls = self.controls(job)
        family = {name.split("_")[0] for name in controls}
        return {
            name: File(
                package=name.split("_")[0],
                version=job.version,
                sha256=file_sha256(f"{job.out}/{name}"),
                depends=tuple(one for one in strict_depends(text) if one in family),
            )
            for name, text in controls.items()
        }

    def index(self, job: Job) -> str:
        """Returns the text of the file Packages, which makes the folder a repository."""
        stanzas = []
        for name, text in self.controls(job).items():
            path = f"{job.out}/{name}"
            more = f"Filename: ./{name}\nSize: {os.path.getsize(path)}\nSHA256: {file_sha256(path)}\n"
            stanzas.append(f"{text.rstrip()}\n{more}")
        return "\n".join(stanzas)

    def installed(self, runner: Runner) -> dict[str, str]:
        form = "${source:Package} ${db:Status-Status} ${Package} ${Version}\n"
        rows = (line.split() for line in runner.run(["dpkg-query", "-W", "-f", form]).out.splitlines())
        return {row[2]: row[3] for row in rows if row[:2] == ["criu", "installed"] and len(row) == 4}

    def install_argv(self, paths: Iterable[str]) -> tuple[str, ...]:
        return (*APT, "--no-install-recommends", "--allow-downgrades", "install", *paths)

    def give_back(self, runner: Runner, names: Iterable[str], suffix: str) -> tuple[tuple[str, ...], dict[str, str]]:
        wanted = sorted(names)
        listed = check(runner.run(["apt-cache", "madison", *wanted]), "list the distribution's packages").out
        offered = parse_madison(listed, suffix)
        if set(wanted) <= set(offered):
            argv = (*APT, "--allow-downgrades", "install", *(f"{name}={offered[name]}" for name in wanted))
            return argv, {name: offered[name] for name in wanted}
        return (*APT, "remove", *wanted), {}


def parse_uris(text: str) -> Source | None:
    """Returns the .dsc in the output of apt-get source --print-uris, with lines like 'URI' NAME SIZE KIND:SUM."""
    found = re.search(r"^'[^']*' (criu_(\S+)\.dsc) \d+ (\S+)$", text, re.MULTILINE)
    return Source(version=found.group(2), identity=found.group(3), file=found.group(1)) if found else None


def add_build_depends(control: str, names: Iterable[str]) -> str:
    """Returns the text of debian/control with ``names`` as build dependencies and UNASKED as a build conflict."""
    head, blank, rest = control.partition("\n\n")

    def named(name: str) -> bool:
        return re.search(rf"(?<![\w.+-]){re.escape(name)}(?![\w.+-])", head) is not None

    missing = [name for name in names if not named(name)]
    unasked = "" if named(UNASKED) or "Build-Conflicts:" in head else f"Build-Conflicts: {UNASKED}\n"
    added = f" {', '.join(missing)}," if missing else ""
    head = re.sub(r"^Build-Depends:", f"{unasked}Build-Depends:{added}", head, count=1, flags=re.MULTILINE)
    return f"{head}{blank}{rest}"


def add_entry(changelog: str, version: str, names: Iterable[str]) -> str:
    """Returns the text of debian/changelog with a new first entry for ``version``, dated as the entry below."""
    suite = re.search(r"\) ([^;\s]+)", changelog)
    date = re.search(r"^ -- .*>  (.*)$", changelog, re.MULTILINE)
    lines = [
        f"criu ({version}) {suite.group(1) if suite else 'unstable'}; urgency=medium",
        "",
        f"  * Rebuilt with {', '.join(names)} among the build dependencies.",
        "",
        f" -- criu.hosts <root@localhost>  {date.group(1) if date else 'Thu, 01 Jan 1970 00:00:00 +0000'}",
        "",
        "",
    ]
    return "\n".join(lines) + changelog


def strict_depends(control: str) -> list[str]:
    """Returns the packages that a control text requires in exactly one version."""
    found = re.search(r"^Depends: (.*)$", control, re.MULTILINE)
    return re.findall(r"(?<![a-z0-9.+-])([a-z0-9][a-z0-9.+-]+) \(= ", found.group(1)[:65536]) if found else []


def parse_madison(text: str, suffix: str) -> dict[str, str]:
    """Returns the highest version of each package in the output of apt-cache madison, without those with our suffix."""
    offered: dict[str, str] = {}
    for line in text.splitlines():
        columns = [column.strip() for column in line.split("|")]
        if len(columns) == 3 and not columns[1].endswith(f"+{suffix}") and "Packages" in columns[2]:
            offered.setdefault(columns[0], columns[1])
    return offered


def missing_packages(text: str) -> list[str]:
    """Returns the packages that dpkg-checkbuilddeps reports as missing in the output of a build."""
    found = re.search(r"[Uu]nmet build dependencies: (.*)$", text, re.MULTILINE)
    return re.findall(r"(?:^| )([a-z0-9][a-z0-9.+-]+)(?: \([^()]*\))?", found.group(1)) if found else []
