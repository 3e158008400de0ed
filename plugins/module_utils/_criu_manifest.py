# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What tells one build of CRIU from another: its id, its manifest, and the artifact that holds both."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import zlib
from dataclasses import asdict, dataclass, replace
from typing import Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._criu_needs import FEATURES
from ansible_collections.criu.hosts.plugins.module_utils._elf import Elf, read_elf
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError

# Part of the identity of a build: raise it when the way of building changes what comes out.
RECIPE = 1
MANIFEST = "manifest.json"
BINARY = "sbin/criu"


@dataclass(frozen=True)
class Manifest:
    """What an artifact holds: its manifest.json."""

    id: str
    version: str
    features: tuple[str, ...]
    libraries: tuple[str, ...]
    architecture: str
    built_on: str
    source_sha256: str
    files: dict[str, str]

    @property
    def tree(self) -> str:
        """The name of the folder that holds this build."""
        return f"{self.version}-{self.id}"


def build_id(source_sha256: str, features: Iterable[str], architecture: str, built_on: str) -> str:
    text = json.dumps([RECIPE, source_sha256, sorted(features), architecture, built_on])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def linked_features(needed: Iterable[str]) -> tuple[str, ...]:
    """The features of FEATURES whose library is among the ``needed`` ones."""
    return tuple(name for name, need in FEATURES.items() if any(lib.startswith(need.library) for lib in needed))


def render_manifest(manifest: Manifest) -> str:
    return json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n"


def parse_manifest(text: str) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: it is not one of ours.
    """
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("no manifest of a CRIU build")
    try:
        manifest = Manifest(**{**data, **{key: tuple(data[key]) for key in ("features", "libraries")}})
    except (KeyError, TypeError) as error:
        raise ValueError("no manifest of a CRIU build") from error
    texts = (manifest.id, manifest.version, manifest.architecture, manifest.source_sha256)
    if not all(isinstance(text, str) for text in texts) or not isinstance(manifest.files, dict):
        raise ValueError("no manifest of a CRIU build")
    if not re.fullmatch(r"[0-9a-f]{12}", manifest.id) or not re.fullmatch(r"[0-9.]+", manifest.version):
        raise ValueError("a manifest with a strange id or version")
    return replace(manifest, files=dict(manifest.files))


@dataclass(frozen=True)
class Artifact:
    """An artifact that was read to its end: manifest, its own checksum, the headers of its binary."""

    manifest: Manifest
    sha256: str
    elf: Elf


def artifact_invalid(path: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot use the artifact {path!r}: {why}. Build it again with state=built.", reason="artifact_invalid"
    )


def read_artifact(path: str) -> Artifact:
    """Read and verify the artifact ``path``.

    Raises:
        CheckpointError: it is damaged, or not made by this module.
    """
    found: dict[str, str] = {}
    manifest, elf = None, None
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                handle = archive.extractfile(member) if member.isreg() else None
                if handle is None:
                    continue
                if member.name == MANIFEST:
                    manifest = parse_manifest(handle.read(1 << 20).decode("utf-8"))
                    continue
                found[member.name] = _stream_sha256(handle)
                if member.name == BINARY:
                    handle.seek(0)
                    elf = read_elf(handle)  # type: ignore[arg-type]
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise artifact_invalid(path, str(error)) from error
    if manifest is None or elf is None:
        raise artifact_invalid(path, f"it holds no {MANIFEST} or no {BINARY}")
    if found != manifest.files:
        raise artifact_invalid(path, "its files differ from its manifest")
    return Artifact(manifest, file_sha256(path), elf)


def _stream_sha256(handle: Any) -> str:
    digest = hashlib.sha256()
    for block in iter(lambda: handle.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


def find_artifact(path: str, build_id: str) -> Artifact | None:
    """The artifact ``path`` if it is whole and the build ``build_id``."""
    if not os.path.exists(path):
        return None
    try:
        artifact = read_artifact(path)
    except CheckpointError:
        return None
    return artifact if artifact.manifest.id == build_id else None
