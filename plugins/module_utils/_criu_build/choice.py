# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Chooses the build that a task of criu_build asks for: installed already, in an artifact, or still to be compiled."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Callable, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Step
from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import FEATURES
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.compatibility import (
    System,
    check_artifact,
    parse_ldconfig,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.compile import (
    Job,
    Patches,
    build_steps,
    clean_step,
    read_patches,
    source_invalid,
    version_of_tarball,
    version_of_url,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.installed import Installed, Layout, Tree, describe
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.manifest import (
    Artifact,
    build_id,
    find_artifact,
    read_artifact,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.needs import (
    PATCH,
    PLUGINS,
    check_needs,
    check_version,
    has_header,
    missing_needs,
    too_new,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.distribution import read_system


@dataclass(frozen=True)
class Wanted:
    """The parameters, and the system they are for. ``fetch`` downloads a URL and verifies its checksum."""

    source: str | None
    checksum: str | None
    patches: Patches | None
    names: tuple[str, ...]
    extra: tuple[str, ...]
    version: str | None
    check: bool
    artifact: str | None
    artifact_checksum: str | None
    jobs: int
    paths: Paths
    machine: str
    family: str
    built_on: str
    libc: str
    fetch: Callable[[str, str], bytes]

    @classmethod
    def from_params(
        cls, params: dict[str, Any], *, paths: Paths, machine: str, libc: str, fetch: Callable[[str, str], bytes]
    ) -> Wanted:
        family, built_on = read_system(paths)
        names = tuple(sorted({*params["features"], *params["plugins"]}))
        sums = {key: (params[key] or "").lower() or None for key in ("checksum", "artifact_checksum")}
        return cls(
            source=params["source"],
            patches=read_patches(params["patches"]) if params["patches"] else None,
            names=names,
            extra=tuple(sorted(set(params["wanted"]) - set(names))),
            version=params["version"],
            check=params["check"],
            artifact=os.path.abspath(params["artifact_path"]) if params["artifact_path"] else None,
            jobs=params["jobs"] or len(os.sched_getaffinity(0)),
            paths=paths,
            machine=machine,
            family=family,
            built_on=built_on,
            libc=libc,
            fetch=fetch,
            **sums,
        )

    @property
    def layout(self) -> Layout:
        return Layout(self.paths)

    def build_ids(self, source_sha256: str) -> list[str]:
        """Returns the ids of acceptable builds: all that is required, plus any subset of ``wanted``, largest first."""
        ids = []
        for count in range(len(self.extra), -1, -1):
            for chosen in combinations(self.extra, count):
                features, plugins = sort_out((*self.names, *chosen))
                patches = self.patches.sha256 if self.patches else ""
                ids.append(
                    build_id(
                        source_sha256, features, self.machine, self.built_on, plugins=list(plugins), patches=patches
                    )
                )
        return ids


def sort_out(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the features and the plugins among ``names``, each sorted."""
    found = sorted(names)
    return tuple(name for name in found if name in FEATURES), tuple(name for name in found if name in PLUGINS)


@dataclass(frozen=True)
class Choice:
    """The build to install: its folder, the archive that it comes from, and the result that check mode predicts."""

    tree: str
    archive: str
    predicted: dict[str, Any] | None
    build: tuple[Step, ...] = ()
    clean: tuple[Step, ...] = field(default=())


def check_sum(name: str, actual: str, wanted: str | None) -> None:
    if wanted and actual != wanted:
        raise CheckpointError(
            f"Cannot use {name!r}: its SHA-256 is {actual}, not {wanted}. Get the file again or correct the checksum.",
            reason="checksum_mismatch",
        )


def read_source_sha256(source: str, checksum: str | None) -> str:
    """Returns the checksum of the source; of a URL, or of a file that no longer exists, the one that is given."""
    if "://" in source and not checksum:
        raise CheckpointError(
            f"Cannot download {source!r}: it has no checksum. Give its SHA-256 as 'checksum'.",
            reason="checksum_missing",
        )
    if checksum and ("://" in source or not os.path.exists(source)):
        return checksum
    if not os.path.isfile(source):
        raise source_invalid(source, "no such file")
    actual = file_sha256(source)
    check_sum(source, actual, checksum)
    return actual


def make_job(runner: Runner, wanted: Wanted, source: str, source_sha256: str) -> Job:
    """Returns the build that the parameters ask for, with those wanted extras that this host has the headers for.

    Raises:
        CheckpointError: a requirement of the build is missing.
    """
    is_url = "://" in source
    if not is_url and not os.path.isfile(source):
        raise source_invalid(source, "no such file")
    version = version_of_url(source) if is_url else version_of_tarball(source)
    if version is None:
        raise source_invalid(source, "its file name has no version")
    check_version(wanted.names, version)
    base, gone = missing_needs(
        (*wanted.names, *wanted.extra), runner.which, lambda name: has_header(wanted.paths, wanted.machine, name)
    )
    if wanted.patches and not runner.which(PATCH.probe):
        base.append(PATCH)
    check_needs(base, [name for name in gone if name in wanted.names], wanted.family)
    possible = (name for name in wanted.extra if name not in gone and not too_new(name, version))
    features, plugins = sort_out((*wanted.names, *possible))
    job = Job(
        version=version,
        source=source,
        source_sha256=source_sha256,
        features=features,
        plugins=plugins,
        patches=wanted.patches,
        architecture=wanted.machine,
        built_on=wanted.built_on,
        folder=f"{wanted.paths.state}/build",
        artifact=wanted.artifact or "",
        jobs=wanted.jobs,
        prefix=Layout().current,
        fetch=(lambda: wanted.fetch(source, source_sha256)) if is_url else None,
    )
    return job if wanted.artifact else replace(job, artifact=f"{job.work}/criu.tar.gz")


def describe_artifact(artifact: Artifact, path: str) -> dict[str, Any] | None:
    return describe(Tree(artifact.manifest, artifact.sha256, True), path)


def choose_source(runner: Runner, wanted: Wanted, source: str, installed: Installed) -> Choice:
    """Chooses a build that is installed already, else the existing artifact, else a new build."""
    active = wanted.layout.active
    sha256 = read_source_sha256(source, wanted.checksum)
    ids = wanted.build_ids(sha256)
    tree = installed.find_first(ids)
    if tree:
        return Choice(tree.manifest.tree, "", describe(tree, active))
    artifact = find_artifact(wanted.artifact, ids) if wanted.artifact else None
    if artifact and wanted.artifact:
        return Choice(artifact.manifest.tree, wanted.artifact, describe_artifact(artifact, active))
    job = make_job(runner, wanted, source, sha256)
    predicted = {"id": job.id, "version": job.version, "path": active}
    return Choice(job.tree, job.artifact, predicted, build_steps(job, wanted.family), (clean_step(job),))


def choose_artifact(runner: Runner, wanted: Wanted, path: str, installed: Installed) -> Choice:
    """Chooses a build that is installed already, else the artifact, if this host can run it."""
    active = wanted.layout.active
    exists = os.path.isfile(path)
    sha256 = file_sha256(path) if exists else wanted.artifact_checksum
    if exists and sha256:
        check_sum(path, sha256, wanted.artifact_checksum)
    tree = installed.find(sha256) if sha256 else None
    if tree and tree.intact:
        return Choice(tree.manifest.tree, "", describe(tree, active))
    if not exists:
        raise CheckpointError(
            f"Cannot install CRIU from {path!r}: no such file. Copy the artifact to the host.",
            reason="artifact_missing",
        )
    artifact = read_artifact(path)
    listed = runner.run(["ldconfig", "-p"]).out if runner.which("ldconfig") else ""
    system = System(wanted.paths, wanted.machine, wanted.family, wanted.libc, parse_ldconfig(listed))
    check_artifact(path, artifact, system)
    return Choice(artifact.manifest.tree, path, describe_artifact(artifact, active))


def choose_version(wanted: Wanted, version: str, installed: Installed) -> Choice:
    """Chooses an installed build by its version or name."""
    found = installed.find_version(version)
    if len(found) != 1:
        others = ", ".join(sorted(installed.trees)) or "none"
        raise CheckpointError(
            f"Cannot activate CRIU {version!r}: {len(found)} installed builds have this version or name."
            f" Installed: {others}. Name one of them, or install it from its source or artifact.",
            reason="build_unknown" if not found else "build_ambiguous",
        )
    return Choice(found[0], "", describe(installed.trees[found[0]], wanted.layout.active))
