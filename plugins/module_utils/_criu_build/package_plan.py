# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans how to rebuild CRIU's package, to install it, and to return to the distribution's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.pack import pack_steps
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Plan,
    Remove,
    Unpack,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import package_archive as package
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.compile import keep_steps
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.installed import Layout
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.manifest import build_id
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.package_debian import (
    missing_packages as missing_debs,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.package_redhat import (
    missing_packages as missing_rpms,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.distribution import read_system


@dataclass(frozen=True)
class Wanted:
    """The parameters, and the system they are for."""

    path: str
    features: tuple[str, ...]
    version: str | None
    suffix: str
    jobs: int
    layout: Layout
    machine: str
    family: str
    built_on: str

    @classmethod
    def from_params(cls, params: dict[str, Any], *, paths: Paths, machine: str) -> Wanted:
        family, built_on = read_system(paths)
        if family not in ("debian", "redhat"):
            raise CheckpointError(
                f"Cannot rebuild packages on {built_on!r}: it belongs to neither the Debian nor the Red Hat family."
                " Use the module criu_build.",
                reason="distribution_unknown",
            )
        if not package.SUFFIX.fullmatch(params["suffix"]):
            raise CheckpointError(
                f"Cannot use the suffix {params['suffix']!r}: it must begin with a lower-case letter, and contain only"
                " lower-case letters, digits and dots. Use one like 'criuhosts1'.",
                reason="suffix_invalid",
            )
        return cls(
            path=os.path.abspath(params["path"]) if params["path"] else "",
            features=tuple(sorted(set(params["features"]))),
            version=params["version"],
            suffix=params["suffix"],
            jobs=params["jobs"] or len(os.sched_getaffinity(0)),
            layout=Layout(paths),
            machine=machine,
            family=family,
            built_on=built_on,
        )

    @property
    def folder(self) -> str:
        return f"{self.layout.state}/packages"


def make_job(runner: Runner, way: package.Way, wanted: Wanted) -> package.Job:
    """Returns the rebuild that the parameters ask for.

    Raises:
        CheckpointError: a tool is missing, or the package manager offers no source package.
    """
    gone = {name: owner for name, owner in way.tools.items() if not runner.which(name)}
    if gone:
        packages = sorted(set(gone.values()))
        raise CheckpointError(
            f"Cannot rebuild CRIU's package: {', '.join(map(repr, gone))} not found. Install {' '.join(packages)}.",
            reason="build_dependency_missing",
            packages=packages,
        )
    source = way.source(runner, wanted.version)
    more = {"way": way.kind, "suffix": wanted.suffix, "version": source.version}
    job_id = build_id(source.identity, wanted.features, wanted.machine, wanted.built_on, **more)
    return package.Job(
        id=job_id,
        source=source,
        version=way.raised(source.version, wanted.suffix),
        suffix=wanted.suffix,
        features=wanted.features,
        architecture=wanted.machine,
        built_on=wanted.built_on,
        work=f"{wanted.folder}/{job_id}",
        jobs=wanted.jobs,
    )


def plan_built(way: package.Way, wanted: Wanted, job: package.Job) -> Plan:
    """Plans to build the packages and to write their archive."""
    manifest = f"{job.out}/{package.MANIFEST}"
    steps = (
        Remove(job.work, why="remove the remains of an interrupted build"),
        MakeDir(job.out, why="make the work folder"),
        *way.build_steps(job),
        WriteFile(manifest, lambda: package.render(way, job, wanted.family), 0o644, why="write the manifest"),
        *pack_steps(job.out, job.packed, (".",)),
        *keep_steps(job.packed, wanted.path),
        Remove(job.work, always=True, why="remove the work folder"),
    )
    return Plan({wanted.path: None}, {wanted.path: job.version}, steps, wanted.layout.state)


def plan_present(
    way: package.Way, wanted: Wanted, manifest: package.Manifest, content: bytes, installed: dict[str, str]
) -> Plan:
    """Plans to install the packages that this host lacks. The plan's before and after are the versions by package.

    They are unpacked from a copy of ``content``, which was verified: others may be able to change the archive.
    """
    copy = f"{wanted.layout.state}/.packages.tar"
    files = package.choose(manifest, installed)
    after = {**installed, **{manifest.files[name].package: manifest.version for name in files}}
    steps = (
        Remove(wanted.folder, why="remove the remains of an interrupted run"),
        WriteFile(copy, lambda: content, why="copy the archive of packages"),
        Unpack(copy, wanted.folder, why="unpack the packages"),
        Command(way.install_argv(f"{wanted.folder}/{name}" for name in files), why="install the packages"),
        Remove(wanted.layout.cache, why="remove CRIU's cache of the kernel"),
        Remove(wanted.folder, always=True, why="remove the unpacked packages"),
        Remove(copy, always=True, why="remove the copy of the archive"),
    )
    return Plan(installed, after, steps if installed != after else (), wanted.layout.state)


def plan_absent(runner: Runner, way: package.Way, wanted: Wanted, installed: dict[str, str]) -> Plan:
    """Plans to replace the packages that have our suffix with the distribution's."""
    names = [name for name, version in installed.items() if version.endswith(wanted.suffix)]
    if not names:
        return Plan(installed, installed)
    argv, offered = way.give_back(runner, names, wanted.suffix)
    after = {name: version for name, version in installed.items() if name not in names}
    steps = (
        Command(argv, why="install the distribution's packages again"),
        Remove(wanted.layout.cache, why="remove CRIU's cache of the kernel"),
    )
    return Plan(installed, {**after, **offered}, steps, wanted.layout.state)


def describe(wanted: Wanted, installed: dict[str, str], more: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the result of the task; None if no package of CRIU is installed."""
    if "criu" not in installed:
        return None
    ours = os.path.realpath(wanted.layout.packaged).startswith(f"{wanted.layout.base}/")
    return {**more, "version": installed["criu"], "installed": installed, "in_use": not ours}


def explain(completed: Completed, way: package.Way) -> CheckpointError | None:
    """Returns the error for a failed build; None for every other command."""
    if completed.argv[0] not in ("env", "rpmbuild"):
        return None
    return package.explain(completed, missing_debs if way.kind == "deb" else missing_rpms)
