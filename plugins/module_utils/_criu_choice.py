# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns what a user asks of criu_build into one build: an unpacked one, an artifact, or one to be compiled."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import (
    Job,
    build_steps,
    clean_step,
    has_header,
    read_system,
    source_invalid,
    version_of_tarball,
    version_of_url,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_install import Installed, Layout, Tree, describe
from ansible_collections.criu.hosts.plugins.module_utils._criu_manifest import (
    Artifact,
    build_id,
    file_sha256,
    find_artifact,
    read_artifact,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_needs import check_needs, missing_needs
from ansible_collections.criu.hosts.plugins.module_utils._criu_usable import check_artifact, parse_ldconfig
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._plan import Step


@dataclass(frozen=True)
class Wanted:
    """The parameters, and the system they are for. ``fetch`` downloads a URL and holds it to its checksum."""

    source: str | None
    checksum: str | None
    features: tuple[str, ...]
    artifact: str | None
    artifact_checksum: str | None
    jobs: int
    root: str
    machine: str
    family: str
    built_on: str
    fetch: Callable[[str, str], bytes]

    @classmethod
    def from_params(
        cls, params: dict[str, Any], *, root: str, machine: str, fetch: Callable[[str, str], bytes]
    ) -> Wanted:
        family, built_on = read_system(root)
        sums = {key: (params[key] or "").lower() or None for key in ("checksum", "artifact_checksum")}
        return cls(
            source=params["source"],
            features=tuple(sorted(set(params["features"]))),
            artifact=os.path.abspath(params["artifact_path"]) if params["artifact_path"] else None,
            jobs=params["jobs"] or len(os.sched_getaffinity(0)),
            root=root,
            machine=machine,
            family=family,
            built_on=built_on,
            fetch=fetch,
            **sums,
        )

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    def build_id(self, source_sha256: str) -> str:
        return build_id(source_sha256, self.features, self.machine, self.built_on)


@dataclass(frozen=True)
class Choice:
    """Which build to install: its folder, where it comes from, and what check mode says of it."""

    tree: str
    archive: str
    predicted: dict[str, Any] | None
    build: tuple[Step, ...] = ()
    clean: tuple[Step, ...] = field(default=())


def check_sum(name: str, actual: str, wanted: str | None) -> None:
    if wanted and actual != wanted:
        raise CheckpointError(
            f"Refuse {name!r}: its SHA-256 is {actual}, not {wanted}. Get the file again or correct the checksum.",
            reason="checksum_mismatch",
        )


def read_source_sha256(source: str, checksum: str | None) -> str:
    """The checksum of the source; that of a URL, or of a file that is gone, is what the caller says."""
    if "://" in source and not checksum:
        raise CheckpointError(
            f"Refuse to download {source!r} without a checksum. Give its SHA-256 as 'checksum'.",
            reason="checksum_missing",
        )
    if checksum and ("://" in source or not os.path.exists(source)):
        return checksum
    if not os.path.isfile(source):
        raise source_invalid(source, "no such file")
    actual = file_sha256(source)
    check_sum(source, actual, checksum)
    return actual


def make_job(wanted: Wanted, source: str, source_sha256: str) -> Job:
    """The build that the parameters ask for; reads the version from the tarball or from the URL."""
    is_url = "://" in source
    if not is_url and not os.path.isfile(source):
        raise source_invalid(source, "no such file")
    version = version_of_url(source) if is_url else version_of_tarball(source)
    if version is None:
        raise source_invalid(source, "its file name holds no version")
    job = Job(
        version=version,
        source=source,
        source_sha256=source_sha256,
        features=wanted.features,
        architecture=wanted.machine,
        built_on=wanted.built_on,
        folder=f"{wanted.root}/var/lib/criu-hosts/build",
        artifact=wanted.artifact or "",
        jobs=wanted.jobs,
        prefix=Layout().current,
        fetch=(lambda: wanted.fetch(source, source_sha256)) if is_url else None,
    )
    return job if wanted.artifact else replace(job, artifact=f"{job.work}/criu.tar.gz")


def steps_of(runner: Runner, wanted: Wanted, job: Job) -> tuple[Step, ...]:
    """The steps of a build whose needs are all there."""
    base, features = missing_needs(
        job.features, runner.which, lambda name: has_header(wanted.root, wanted.machine, name)
    )
    check_needs(base, features, wanted.family)
    return build_steps(job, wanted.family)


def describe_artifact(artifact: Artifact, path: str) -> dict[str, Any] | None:
    return describe(Tree(artifact.manifest, artifact.sha256, True), path)


def choose_source(runner: Runner, wanted: Wanted, source: str, installed: Installed) -> Choice:
    """Install what is unpacked already, else the artifact that is there, else build."""
    active = wanted.layout.active
    sha256 = read_source_sha256(source, wanted.checksum)
    tree = installed.find_id(wanted.build_id(sha256))
    if tree and tree.intact:
        return Choice(tree.manifest.tree, "", describe(tree, active))
    artifact = find_artifact(wanted.artifact, wanted.build_id(sha256)) if wanted.artifact else None
    if artifact and wanted.artifact:
        return Choice(artifact.manifest.tree, wanted.artifact, describe_artifact(artifact, active))
    job = make_job(wanted, source, sha256)
    predicted = {"id": job.id, "version": job.version, "path": active}
    return Choice(job.tree, job.artifact, predicted, steps_of(runner, wanted, job), (clean_step(job),))


def choose_artifact(runner: Runner, wanted: Wanted, path: str, installed: Installed) -> Choice:
    """Install what is unpacked already, else the artifact, if this host can run it."""
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
    check_artifact(path, artifact, wanted.machine, parse_ldconfig(listed), wanted.family)
    return Choice(artifact.manifest.tree, path, describe_artifact(artifact, active))
