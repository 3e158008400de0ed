# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Identifies builds of CRIU: the id of a build, its manifest, and the artifact that holds both."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.tar import open_tar
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import version_text, version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.given import demand_given, read_given, sum_of
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.layout import BINARY
from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import Elf, read_elf
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object, text_list

TUPLES = ("features", "libraries", "plugins")
# Part of the identity of a build: increase it when a change in how CRIU is built changes the result.
RECIPE = 1
MANIFEST = "manifest.json"
PLUGIN_FOLDER = "lib/criu"
# Programs are read into memory; the others are a manifest and a license.
PROGRAM_LIMIT, TEXT_LIMIT = 64 << 20, 1 << 20


@dataclass(frozen=True)
class Manifest:
    """An artifact's manifest.json. ``libc`` is the oldest glibc that can run it; empty if it needs none."""

    id: str
    version: str
    features: tuple[str, ...]
    libraries: tuple[str, ...]
    architecture: str
    built_on: str
    source_sha256: str
    files: dict[str, str]
    plugins: tuple[str, ...] = ()
    libc: str = ""
    patches_sha256: str = ""

    @property
    def tree(self) -> str:
        """Returns the name of the folder that holds this build."""
        return f"{self.version}-{self.id}"


def build_id(source_sha256: str, features: Iterable[str], architecture: str, built_on: str, **more: Any) -> str:
    """Returns twelve digits that identify a build. Empty values in ``more`` do not count."""
    extra = {name: value for name, value in sorted(more.items()) if value}
    text = json.dumps([RECIPE, source_sha256, sorted(features), architecture, built_on, *([extra] if extra else [])])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def plugin_file(name: str) -> str:
    """Returns the path of the plugin ``name`` in an artifact."""
    return f"{PLUGIN_FOLDER}/{name}_plugin.so"


def oldest_libc(versions: Iterable[str]) -> str:
    """Returns the highest version of glibc among the ``versions`` of symbols; empty if glibc is not among them."""
    found = (re.fullmatch(r"GLIBC_(\d+(?:\.\d+)*)", version) for version in versions)
    return version_text(max((version_tuple(one.group(1)) for one in found if one), default=()))


def render_manifest(manifest: Manifest) -> str:
    return json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n"


def below(name: str) -> bool:
    """Returns whether ``name`` is that of a file below its folder, as archives of this module have it."""
    parts = name.split("/")
    return not {"", ".", ".."} & set(parts) and name.isprintable()


def parse_manifest(text: str | bytes) -> Manifest:
    """Reads a manifest.

    Raises:
        ValueError: it is not a manifest of this module.
    """
    data = parse_object(text)
    try:
        manifest = Manifest(**{**data, **{key: text_list(data.get(key, [])) for key in TUPLES}})
    except TypeError as error:
        raise ValueError("not a manifest of a CRIU build") from error
    texts = [getattr(manifest, one.name) for one in fields(Manifest) if one.name not in (*TUPLES, "files")]
    if not all(isinstance(text, str) for text in texts) or not isinstance(manifest.files, dict):
        raise ValueError("not a manifest of a CRIU build")
    if not re.fullmatch(r"[0-9a-f]{12}", manifest.id) or not re.fullmatch(r"[0-9.]{1,64}", manifest.version):
        raise ValueError("a manifest with an invalid id or version")
    if not all(below(name) and isinstance(digest, str) for name, digest in manifest.files.items()):
        raise ValueError("a manifest with invalid files")
    return replace(manifest, files=dict(manifest.files))


@dataclass(frozen=True)
class Artifact:
    """An artifact that was read completely: its manifest, its own checksum, the headers of its binary.

    ``needed`` has the libraries of the binary and of the plugins, ``content`` the bytes that all this was read from.
    """

    manifest: Manifest
    sha256: str
    elf: Elf
    needed: tuple[str, ...]
    content: bytes = field(repr=False)


def artifact_invalid(path: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot use the artifact {path!r}: {why}. Build it again with state=built.", reason="artifact_invalid"
    )


def read_artifact(path: str) -> Artifact:
    """Reads and verifies the artifact ``path``.

    Raises:
        CheckpointError: artifact_invalid.
    """
    try:
        return parse_artifact(path, demand_given(path))
    except OSError as error:
        raise artifact_invalid(path, error.strerror or str(error)) from error


def parse_artifact(path: str, content: bytes) -> Artifact:
    """Verifies the content of the artifact ``path``.

    Raises:
        CheckpointError: artifact_invalid, it is damaged, or this module did not make it.
    """
    found: dict[str, str] = {}
    manifest = None
    elves: dict[str, Elf] = {}
    try:
        archive = open_tar(io.BytesIO(content))
        for member in archive:
            if member.kind == "file" and member.name in (MANIFEST, *found):
                if manifest is not None or member.name != MANIFEST:
                    raise ValueError(f"it has {member.name!r} twice")
                manifest = parse_manifest(archive.content(TEXT_LIMIT))
            elif member.kind == "file":
                programs = member.name == BINARY or member.name.startswith(f"{PLUGIN_FOLDER}/")
                data = archive.content(PROGRAM_LIMIT if programs else TEXT_LIMIT)
                found[member.name] = hashlib.sha256(data).hexdigest()
                if programs:
                    elves[member.name] = read_elf(io.BytesIO(data))
    except (OSError, ValueError) as error:
        raise artifact_invalid(path, str(error)) from error
    if manifest is None or BINARY not in elves:
        raise artifact_invalid(path, f"it lacks {MANIFEST} or {BINARY}")
    if found != manifest.files:
        raise artifact_invalid(path, "its files differ from its manifest")
    needed = tuple(dict.fromkeys(name for elf in elves.values() for name in elf.needed))
    return Artifact(manifest, sum_of(content), elves[BINARY], needed, content)


def find_artifact(path: str, ids: Iterable[str]) -> Artifact | None:
    """Returns the artifact ``path`` if it is intact and holds one of the builds ``ids``."""
    try:
        content = read_given(path)
        artifact = parse_artifact(path, content) if content is not None else None
    except (CheckpointError, OSError):
        return None
    return artifact if artifact is not None and artifact.manifest.id in ids else None
