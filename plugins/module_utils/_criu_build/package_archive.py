# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads and writes archives of rebuilt packages of CRIU, and checks whether a host can use one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from dataclasses import asdict, dataclass
from typing import Any, Callable, ClassVar, Iterable, Protocol

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Step
from ansible_collections.criu.hosts.plugins.module_utils._core.tar import Tar, open_tar
from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import FEATURES, linked_features
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.given import read_given
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.needs import LOG_TAIL, feature_missing
from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import ElfError, read_elf
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object, text_list


def collect_argv(folder: str, pattern: str, without: str, target: str) -> tuple[str, ...]:
    """Returns the command that moves the package files below ``folder`` to ``target``."""
    return (
        *("find", folder, "-maxdepth", "3", "-path", target, "-prune", "-o"),
        *("-type", "f", "-name", pattern, "-not", "-name", without, "-exec", "mv", "-t", target, "{}", "+"),
    )


MANIFEST = "packages.json"
MANIFEST_LIMIT = 1 << 20
# The names are arguments of the package manager, too.
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._+~:%-]*"
SUFFIX = re.compile(r"[a-z][a-z0-9.]*")


@dataclass(frozen=True)
class File:
    """One package: its name, version and checksum, and the other packages of CRIU that it depends on."""

    package: str
    version: str
    sha256: str
    depends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The content of an archive of packages, as its packages.json describes it."""

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
    """A source package: its version, a word that identifies its content, and the file to unpack."""

    version: str
    identity: str
    file: str


@dataclass(frozen=True)
class Job:
    """A rebuild to do. ``version`` is that of the packages that it makes."""

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
        """Returns the folder that becomes the archive."""
        return f"{self.work}/out"

    @property
    def packed(self) -> str:
        """Returns the path of the archive in the work folder, where only root can change it."""
        return f"{self.work}/packages.tar"


class Way(Protocol):
    """How a family of distributions builds and installs packages."""

    kind: ClassVar[str]
    tools: ClassVar[dict[str, str]]

    def source(self, runner: Runner, version: str | None) -> Source:
        """Returns the source package that the package manager offers."""

    def raised(self, version: str, suffix: str) -> str:
        """Returns a version that is higher than ``version`` and than every later version of the distribution."""

    def build_steps(self, job: Job) -> tuple[Step, ...]:
        """Returns the steps that put the packages into ``job.out``."""

    def binary(self, job: Job) -> str:
        """Returns the path of the compiled criu, which is read before the packages are trusted."""

    def files(self, job: Job) -> dict[str, File]:
        """Returns the packages in ``job.out``."""

    def installed(self, runner: Runner) -> dict[str, str]:
        """Returns the installed packages that come from CRIU's source, with their versions."""

    def install_argv(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Returns the command that installs the package files ``paths``."""

    def give_back(self, runner: Runner, names: Iterable[str], suffix: str) -> tuple[tuple[str, ...], dict[str, str]]:
        """Returns the command that installs the distribution's own packages again, and their versions if known."""


def render(way: Way, job: Job, family: str) -> str:
    """Reads the compiled binary and returns the manifest, or raises if the binary lacks a required feature."""
    path = way.binary(job)
    try:
        with open(path, "rb") as binary:
            elf = read_elf(binary)
    except (ElfError, OSError) as error:
        raise CheckpointError(
            f"Cannot use the rebuilt package: {path!r} is not a program ({error}). Check the source package.",
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


def parse(text: str | bytes) -> Manifest:
    """Reads a manifest.

    Raises:
        ValueError: it is not a manifest of this module.
    """
    try:
        data = parse_object(text)
        files = {name: File(**{**one, "depends": text_list(one["depends"])}) for name, one in data["files"].items()}
        manifest = Manifest(**{**data, "features": text_list(data["features"]), "files": files})
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not a manifest of rebuilt packages") from error
    words = [value for one in (manifest, *files.values()) for value in vars(one).values() if value is not files]
    if not all(isinstance(word, (str, tuple)) and "".join(word).isprintable() for word in words):
        raise ValueError("a manifest with something else instead of a text")
    if "criu" not in {one.package for one in files.values()} or not re.fullmatch(r"[0-9a-f]{12}", manifest.id):
        raise ValueError("a manifest without criu, or with an invalid id")
    if not all(re.fullmatch(FILE_NAME, name) and name.endswith(f".{manifest.kind}") for name in files):
        raise ValueError("a manifest with invalid file names")
    return manifest


def invalid(path: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot use the packages {path!r}: {why}. Build them again with state=built.", reason="artifact_invalid"
    )


def _sha256(archive: Tar) -> str:
    digest = hashlib.sha256()
    for piece in archive.pieces():
        digest.update(piece)
    return digest.hexdigest()


def read_archive(path: str) -> Manifest:
    """Reads and verifies the archive ``path``.

    Raises:
        CheckpointError: artifact_invalid.
    """
    content = read_content(path)
    if content is None:
        raise invalid(path, "no such file")
    return parse_archive(path, content)


def read_content(path: str) -> bytes | None:
    """Returns the content of the archive; None if there is none.

    Raises:
        CheckpointError: artifact_invalid, it cannot be read.
    """
    try:
        return read_given(path)
    except OSError as error:
        raise invalid(path, error.strerror or str(error)) from error


def parse_archive(path: str, content: bytes) -> Manifest:
    """Verifies the content of the archive ``path``.

    Raises:
        CheckpointError: artifact_invalid, it is damaged, or this module did not make it.
    """
    manifest = None
    sums: dict[str, str] = {}
    try:
        archive = open_tar(io.BytesIO(content))
        for member in archive:
            name = os.path.normpath(member.name)
            if member.kind == "file" and name in (*sums, *((MANIFEST,) if manifest else ())):
                raise ValueError(f"it has {name!r} twice")
            if member.kind == "file" and name == MANIFEST:
                manifest = parse(archive.content(MANIFEST_LIMIT))
            elif member.kind == "file":
                sums[name] = _sha256(archive)
    except (OSError, ValueError) as error:
        raise invalid(path, str(error)) from error
    if manifest is None:
        raise invalid(path, f"it has no {MANIFEST}")
    if any(sums.get(name) != one.sha256 for name, one in manifest.files.items()):
        raise invalid(path, "its files differ from its manifest")
    return manifest


def find_archive(path: str, job_id: str) -> Manifest | None:
    """Returns the manifest of the archive ``path`` if the archive is intact and holds the build ``job_id``."""
    try:
        manifest = read_archive(path) if os.path.exists(path) else None
    except CheckpointError:
        return None
    return manifest if manifest and manifest.id == job_id else None


def check_host(path: str, manifest: Manifest, *, kind: str, architecture: str, built_on: str) -> None:
    """Raises artifact_unusable if the packages are for a different system."""
    for what, theirs, ours in (
        ("of the kind", manifest.kind, kind),
        ("for", manifest.architecture, architecture),
        ("for", manifest.built_on, built_on),
    ):
        if theirs != ours:
            raise CheckpointError(
                f"Cannot install CRIU from {path!r}: its packages are {what} {theirs}, and this host needs {ours}."
                " Build them on this distribution.",
                reason="artifact_unusable",
            )


def choose(manifest: Manifest, installed: Iterable[str]) -> list[str]:
    """Returns the files to install: criu, CRIU's other packages that are installed already, and their dependencies."""
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
    """Returns the error for a failed build; ``packages`` finds the missing build dependencies in its output."""
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
    """Returns the build dependencies of the features."""
    return [FEATURES[name].package(family) for name in sorted(features)]
