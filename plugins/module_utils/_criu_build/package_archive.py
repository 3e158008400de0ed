# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Packages of CRIU that were rebuilt from the distribution's source: their archive, its manifest, who may use it."""

from __future__ import annotations

import json
import os
import re
import tarfile
import zlib
from dataclasses import asdict, dataclass
from typing import Any, Callable, ClassVar, Iterable, Protocol

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import stream_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Step
from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import FEATURES, linked_features
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.needs import LOG_TAIL, feature_missing
from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import ElfError, read_elf


def collect_argv(folder: str, pattern: str, without: str, target: str) -> tuple[str, ...]:
    """Moves the package files below ``folder`` to ``target``."""
    return (
        *("find", folder, "-maxdepth", "3", "-path", target, "-prune", "-o"),
        *("-type", "f", "-name", pattern, "-not", "-name", without, "-exec", "mv", "-t", target, "{}", "+"),
    )


MANIFEST = "packages.json"
SUFFIX = re.compile(r"[a-z][a-z0-9.]*")


@dataclass(frozen=True)
class File:
    """One package: its name, its version, its checksum, and those of its own family that it must have."""

    package: str
    version: str
    sha256: str
    depends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What an archive of packages holds: its packages.json."""

    id: str
    kind: str
    source_version: str
    version: str
    features: tuple[str, ...]
    architecture: str
    built_on: str
    files: dict[str, File]


@dataclass(frozen=True)
class Source:
    """A source package: its version, a word that tells its content from another's, and the file to begin with."""

    version: str
    identity: str
    file: str


@dataclass(frozen=True)
class Job:
    """A rebuild that is wanted. ``version`` is that of the packages to be made."""

    id: str
    source: Source
    version: str
    suffix: str
    features: tuple[str, ...]
    architecture: str
    built_on: str
    work: str
    jobs: int

    @property
    def out(self) -> str:
        """The folder that becomes the archive."""
        return f"{self.work}/out"


class Way(Protocol):
    """How a family of distributions builds and installs packages."""

    kind: ClassVar[str]
    tools: ClassVar[dict[str, str]]

    def source(self, runner: Runner, version: str | None) -> Source:
        """The source package that the package manager offers."""

    def raised(self, version: str, suffix: str) -> str:
        """A version higher than ``version`` and every later one of the distribution."""

    def build_steps(self, job: Job) -> tuple[Step, ...]:
        """The steps that put the packages into ``job.out``."""

    def binary(self, job: Job) -> str:
        """The compiled criu, to be read before the packages are trusted."""

    def files(self, job: Job) -> dict[str, File]:
        """The packages in ``job.out``."""

    def installed(self, runner: Runner) -> dict[str, str]:
        """The installed packages that come from CRIU's source, with their versions."""

    def install_argv(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Installs the package files ``paths``."""

    def give_back(self, runner: Runner, names: Iterable[str], suffix: str) -> tuple[tuple[str, ...], dict[str, str]]:
        """The command that brings the distribution's own packages back, and their versions as far as they are known."""


def render(way: Way, job: Job, family: str) -> str:
    """Read the compiled binary and return the manifest; a wanted feature that it lacks is an error."""
    path = way.binary(job)
    try:
        with open(path, "rb") as binary:
            elf = read_elf(binary)
    except (ElfError, OSError) as error:
        raise CheckpointError(
            f"Cannot use the rebuilt package: {path!r} is no program ({error}). Look at the source package.",
            reason="build_failed",
        ) from error
    lost = [name for name in job.features if name not in linked_features(elf.needed)]
    if lost:
        raise feature_missing(lost, family, "the compiled binary is not linked with it")
    manifest = Manifest(
        id=job.id,
        kind=way.kind,
        source_version=job.source.version,
        version=job.version,
        features=linked_features(elf.needed),
        architecture=job.architecture,
        built_on=job.built_on,
        files=way.files(job),
    )
    return json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n"


def parse(text: str) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: it is not one of ours.
    """
    try:
        data = json.loads(text)
        files = {name: File(**{**one, "depends": tuple(one["depends"])}) for name, one in data["files"].items()}
        manifest = Manifest(**{**data, "features": tuple(data["features"]), "files": files})
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("no manifest of rebuilt packages") from error
    if "criu" not in {one.package for one in files.values()} or not re.fullmatch(r"[0-9a-f]{12}", str(manifest.id)):
        raise ValueError("a manifest without criu or with a strange id")
    if any("/" in name or not name.endswith(f".{manifest.kind}") for name in files):
        raise ValueError("a manifest with strange file names")
    return manifest


def invalid(path: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot use the packages {path!r}: {why}. Build them again with state=built.", reason="artifact_invalid"
    )


def read_archive(path: str) -> Manifest:
    """Read and verify the archive ``path``.

    Raises:
        CheckpointError: it is damaged, or not made by this module.
    """
    manifest, sums = None, {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                handle = archive.extractfile(member) if member.isreg() else None
                name = os.path.normpath(member.name)
                if handle is not None and name == MANIFEST:
                    manifest = parse(handle.read(1 << 20).decode("utf-8"))
                elif handle is not None:
                    sums[name] = stream_sha256(handle)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise invalid(path, str(error)) from error
    if manifest is None:
        raise invalid(path, f"it holds no {MANIFEST}")
    if any(sums.get(name) != one.sha256 for name, one in manifest.files.items()):
        raise invalid(path, "its files differ from its manifest")
    return manifest


def find_archive(path: str, job_id: str) -> Manifest | None:
    """What the archive ``path`` holds if it is whole and the build ``job_id``."""
    try:
        manifest = read_archive(path) if os.path.exists(path) else None
    except CheckpointError:
        return None
    return manifest if manifest and manifest.id == job_id else None


def check_host(path: str, manifest: Manifest, *, kind: str, architecture: str, built_on: str) -> None:
    """Raise artifact_unusable when the packages are for another system."""
    for what, theirs, ours in (
        ("of the kind", manifest.kind, kind),
        ("for", manifest.architecture, architecture),
        ("for", manifest.built_on, built_on),
    ):
        if theirs != ours:
            raise CheckpointError(
                f"Cannot install CRIU from {path!r}: its packages are {what} {theirs}, this host needs {ours}."
                " Build them on this distribution.",
                reason="artifact_unusable",
            )


def choose(manifest: Manifest, installed: Iterable[str]) -> list[str]:
    """The files to install: criu, what is there of its family already, and what these must have of it."""
    by_package = {one.package: (name, one) for name, one in manifest.files.items()}
    waiting = ["criu", *(name for name in installed if name in by_package)]
    chosen: dict[str, str] = {}
    while waiting:
        package = waiting.pop()
        if package in by_package and package not in chosen:
            name, one = by_package[package]
            chosen[package] = name
            waiting += one.depends
    return [chosen[package] for package in sorted(chosen)]


def explain(completed: Completed, packages: Callable[[str], list[str]]) -> CheckpointError:
    """What a failed build of the package means; ``packages`` finds the missing build dependencies in its output."""
    lines = [line.strip() for line in f"{completed.out}\n{completed.err}".splitlines() if line.strip()]
    facts: dict[str, Any] = {"cmd": list(completed.argv), "rc": completed.rc, "log_tail": lines[-LOG_TAIL:]}
    missing = packages(f"{completed.out}\n{completed.err}")
    if missing:
        return CheckpointError(
            f"Cannot rebuild CRIU's package: {len(missing)} build dependencies are missing."
            f" Install {' '.join(missing)}.",
            reason="build_dependency_missing",
            packages=missing,
            **facts,
        )
    first = next((line for line in lines if re.search(r"\berror\b|\*\*\*", line, re.IGNORECASE)), completed.last_line)
    advice = "Remove it from the build host." if "Build conflicts:" in first else "See log_tail."
    return CheckpointError(
        f"Cannot rebuild CRIU's package: {first.rstrip('.')}. {advice}", reason="build_failed", **facts
    )


def source_unavailable(why: str, advice: str) -> CheckpointError:
    return CheckpointError(f"Cannot find CRIU's source package: {why}. {advice}.", reason="source_unavailable")


def needed_packages(features: Iterable[str], family: str) -> list[str]:
    """The build dependencies that the features ask for."""
    return [FEATURES[name].package(family) for name in sorted(features)]
