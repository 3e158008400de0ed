# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Chooses the build that a task of criu_build asks for: installed already, in an artifact, or still to be compiled."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Callable, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
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
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.given import read_given, sum_of
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.installed import Installed, Layout, Tree, describe
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.manifest import (
    Artifact,
    artifact_invalid,
    build_id,
    find_artifact,
    parse_artifact,
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
from ansible_collections.criu.hosts.plugins.module_utils._host.ancestors import find_fault
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
    """The build to install: its folder, the archive that it comes from, and the result that check mode predicts.

    ``content`` is what was read from that archive; None if ``build`` makes it first.
    """

    tree: str
    archive: str
    predicted: dict[str, Any] | None
    build: tuple[Step, ...] = ()
    clean: tuple[Step, ...] = field(default=())
    content: bytes | None = field(default=None, repr=False)


def check_sum(name: str, actual: str, wanted: str | None) -> None:
    if wanted and actual != wanted:
        raise CheckpointError(
            f"Cannot use {name!r}: its SHA-256 is {actual}, not {wanted}. Get the file again or correct the checksum.",
            reason="checksum_mismatch",
        )


@dataclass(frozen=True)
class Source:
    """The source as it was read; of a URL, and of a file that no longer exists, only the given checksum is known."""

    name: str
    sha256: str
    content: bytes | None = field(default=None, repr=False)


def read_source(source: str, checksum: str | None) -> Source:
    """Reads a local source, and verifies its checksum.

    Raises:
        CheckpointError: checksum_missing, checksum_mismatch, source_invalid.
    """
    if "://" in source and not checksum:
        raise CheckpointError(
            f"Cannot download {source!r}: it has no checksum. Give its SHA-256 as 'checksum'.",
            reason="checksum_missing",
        )
    try:
        content = None if "://" in source else read_given(source)
    except OSError as error:
        raise source_invalid(source, error.strerror or str(error)) from error
    if content is not None:
        check_sum(source, sum_of(content), checksum)
        return Source(source, sum_of(content), content)
    if not checksum:
        raise source_invalid(source, "no such file")
    return Source(source, checksum)


def make_job(runner: Runner, wanted: Wanted, source: Source) -> Job:
    """Returns the build that the parameters ask for, with those wanted extras that this host has the headers for.

    Raises:
        CheckpointError: a requirement of the build is missing.
    """
    name, content = source.name, source.content
    if content is None and "://" not in name:
        raise source_invalid(name, "no such file")
    version = version_of_url(name) if content is None else version_of_tarball(name, content)
    if version is None:
        raise source_invalid(name, "its file name has no version")
    check_version(wanted.names, version)
    base, gone = missing_needs(
        (*wanted.names, *wanted.extra), runner.which, lambda one: has_header(wanted.paths, wanted.machine, one)
    )
    if wanted.patches and not runner.which(PATCH.probe):
        base.append(PATCH)
    check_needs(base, [one for one in gone if one in wanted.names], wanted.family)
    possible = (one for one in wanted.extra if one not in gone and not too_new(one, version))
    features, plugins = sort_out((*wanted.names, *possible))
    return Job(
        version=version,
        source=name,
        source_sha256=source.sha256,
        features=features,
        plugins=plugins,
        patches=wanted.patches,
        architecture=wanted.machine,
        built_on=wanted.built_on,
        folder=f"{wanted.paths.state}/build",
        artifact=wanted.artifact or "",
        jobs=wanted.jobs,
        prefix=Layout().current,
        fetch=(lambda: wanted.fetch(name, source.sha256)) if content is None else (lambda: content),
    )


def describe_artifact(artifact: Artifact, path: str) -> dict[str, Any] | None:
    return describe(Tree(artifact.manifest, artifact.sha256, True), path)


def choose_source(runner: Runner, wanted: Wanted, source: str, installed: Installed) -> Choice:
    """Chooses a build that is installed already, else the existing artifact, else a new build."""
    active = wanted.layout.active
    given = read_source(source, wanted.checksum)
    ids = wanted.build_ids(given.sha256)
    tree = installed.find_first(ids)
    if tree:
        return Choice(tree.manifest.tree, "", describe(tree, active))
    # Nothing but its own manifest says which build an artifact is: one that others can write is not believed.
    artifact = find_artifact(wanted.artifact, ids) if wanted.artifact and not find_fault(wanted.artifact) else None
    if artifact and wanted.artifact:
        check_sum(wanted.artifact, artifact.sha256, wanted.artifact_checksum)
        predicted = describe_artifact(artifact, active)
        return Choice(artifact.manifest.tree, wanted.artifact, predicted, content=artifact.content)
    job = make_job(runner, wanted, given)
    new = {"id": job.id, "version": job.version, "path": active}
    return Choice(job.tree, job.packed, new, build_steps(job, wanted.family), (clean_step(job),))


def choose_artifact(runner: Runner, wanted: Wanted, path: str, installed: Installed) -> Choice:
    """Chooses a build that is installed already, else the artifact, if this host can run it."""
    active = wanted.layout.active
    try:
        content = read_given(path)
    except OSError as error:
        raise artifact_invalid(path, error.strerror or str(error)) from error
    sha256 = sum_of(content) if content is not None else wanted.artifact_checksum
    if content is not None:
        check_sum(path, sum_of(content), wanted.artifact_checksum)
    tree = installed.find(sha256) if sha256 else None
    if tree and tree.intact:
        return Choice(tree.manifest.tree, "", describe(tree, active))
    if content is None:
        raise CheckpointError(
            f"Cannot install CRIU from {path!r}: no such file. Copy the artifact to the host.",
            reason="artifact_missing",
        )
    artifact = parse_artifact(path, content)
    listed = runner.run(["ldconfig", "-p"]).out if runner.which("ldconfig") else ""
    system = System(wanted.paths, wanted.machine, wanted.family, wanted.libc, parse_ldconfig(listed))
    check_artifact(path, artifact, system)
    return Choice(artifact.manifest.tree, path, describe_artifact(artifact, active), content=content)


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
