# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Compiles CRIU from its source and packs the result with a manifest: what is needed, what is done, what came out."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import zlib
from dataclasses import asdict, dataclass, replace
from typing import Any, Callable, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._elf import Elf, ElfError, read_elf
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._plan import (
    Command,
    MakeDir,
    Remove,
    Rename,
    Step,
    Unpack,
    WriteFile,
)

# Part of the identity of a build: raise it when the way of building changes what comes out.
RECIPE = 1
MANIFEST = "manifest.json"
BINARY = "sbin/criu"
LOG_TAIL = 20


@dataclass(frozen=True)
class Need:
    """Something that the build wants, how to see that it is there, and who ships it."""

    probe: str
    deb: str
    rpm: str
    library: str = ""

    def package(self, family: str) -> str:
        return {"debian": self.deb, "redhat": self.rpm}.get(family, f"{self.deb} (Debian) or {self.rpm} (Fedora)")


FEATURES = {
    "selinux": Need("selinux/selinux.h", "libselinux1-dev", "libselinux-devel", "libselinux.so."),
    "nftables": Need("nftables/libnftables.h", "libnftables-dev", "nftables-devel", "libnftables.so."),
    "gnutls": Need("gnutls/gnutls.h", "libgnutls28-dev", "gnutls-devel", "libgnutls.so."),
}
TOOLS = (
    Need("gcc", "gcc", "gcc"),
    Need("make", "make", "make"),
    Need("pkg-config", "pkg-config", "pkgconf-pkg-config"),
    Need("protoc", "protobuf-compiler", "protobuf-compiler"),
    Need("protoc-c", "protobuf-c-compiler", "protobuf-c-compiler"),
)
HEADERS = (
    Need("stdlib.h", "libc6-dev", "glibc-devel"),
    Need("google/protobuf/descriptor.proto", "libprotobuf-dev", "protobuf-devel"),
    Need("protobuf-c/protobuf-c.h", "libprotobuf-c-dev", "protobuf-c-devel"),
    Need("libnl3/netlink/netlink.h", "libnl-3-dev", "libnl3-devel"),
    Need("libnet.h", "libnet1-dev", "libnet-devel"),
    Need("sys/capability.h", "libcap-dev", "libcap-devel"),
    Need("uuid/uuid.h", "uuid-dev", "libuuid-devel"),
)


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


@dataclass(frozen=True)
class Job:
    """A build that is wanted. ``fetch`` returns the source when it is a URL."""

    version: str
    source: str
    source_sha256: str
    features: tuple[str, ...]
    architecture: str
    built_on: str
    folder: str
    artifact: str
    jobs: int
    prefix: str
    fetch: Callable[[], bytes] | None = None

    @property
    def id(self) -> str:
        """Twelve digits that tell one build from another: source, features, machine and distribution."""
        return build_id(self.source_sha256, self.features, self.architecture, self.built_on)

    @property
    def tree(self) -> str:
        """The name of the folder that this build is installed in."""
        return f"{self.version}-{self.id}"

    @property
    def work(self) -> str:
        return f"{self.folder}/{self.id}"


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


def parse_os_release(text: str) -> tuple[str, str]:
    """Family (debian, redhat or other) and "ID VERSION_ID" of an os-release file."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    values = {key.strip(): value.strip().strip("\"'") for key, value in fields.items()}
    names = {values.get("ID", ""), *values.get("ID_LIKE", "").split()}
    family = "debian" if names & {"debian", "ubuntu"} else "redhat" if names & {"rhel", "fedora", "centos"} else "other"
    return family, f"{values.get('ID', 'linux')} {values.get('VERSION_ID', '')}".strip()


def read_system(root: str) -> tuple[str, str]:
    """Family and name of the distribution that lies below ``root``."""
    for path in (f"{root}/etc/os-release", f"{root}/usr/lib/os-release"):
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as handle:
                return parse_os_release(handle.read())
    return "other", "linux"


def has_header(root: str, machine: str, name: str) -> bool:
    """Whether the C header ``name`` is where distributions put it."""
    folders = (f"{root}/usr/include", f"{root}/usr/include/{machine}-linux-gnu")
    return any(os.path.exists(f"{folder}/{name}") for folder in folders)


def parse_version(makefile: str) -> str | None:
    """The version that CRIU's Makefile.versions states; None if this is not such a file."""
    found = dict(re.findall(r"^CRIU_VERSION_(MAJOR|MINOR|SUBLEVEL)\s*:=[ \t]*(\d*)", makefile, re.MULTILINE))
    if not found.get("MAJOR"):
        return None
    return ".".join(found[part] for part in ("MAJOR", "MINOR", "SUBLEVEL") if found.get(part))


def version_of_url(url: str) -> str | None:
    """The version in the file name of a source tarball: criu-4.2.1.tar.gz, criu_4.2.1.orig.tar.xz, v4.2.1.tar.gz."""
    found = re.search(r"(?:^|[-_/v])(\d+\.\d+(?:\.\d+)*)(?=[.+~_-][a-z])", url.split("?", 1)[0].rsplit("/", 1)[-1])
    return found.group(1) if found else None


def version_of_tarball(path: str) -> str:
    """The version of the CRIU source in the tarball ``path``; reads no further than Makefile.versions."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isreg() and re.fullmatch(r"(\./)?[^/]+/Makefile\.versions", member.name):
                    handle = archive.extractfile(member)
                    version = parse_version(handle.read(65536).decode("utf-8", "replace")) if handle else None
                    if version:
                        return version
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise source_invalid(path, "it is not a readable tar archive") from error
    raise source_invalid(path, "it holds no Makefile.versions of CRIU")


def source_invalid(source: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot build CRIU from {source!r}: {why}. Name a source tarball of CRIU.", reason="source_invalid"
    )


def missing_needs(
    features: Iterable[str], which: Callable[[str], str | None], has_header: Callable[[str], bool]
) -> tuple[list[Need], list[str]]:
    """Tools and headers of the base build that are not there, and features whose header is not there."""
    base = [need for need in TOOLS if not which(need.probe)] + [need for need in HEADERS if not has_header(need.probe)]
    return base, [name for name in features if not has_header(FEATURES[name].probe)]


def check_needs(base: list[Need], features: list[str], family: str) -> None:
    """Raise what is missing; on an unknown family headers may be elsewhere, so only the tools count."""
    if family == "other":
        base, features = [need for need in base if need in TOOLS], []
    packages = [need.package(family) for need in base] + [FEATURES[name].package(family) for name in features]
    if base:
        raise CheckpointError(
            f"Cannot build CRIU: {', '.join(repr(need.probe) for need in base)} not found."
            f" Install {' '.join(packages)}.",
            reason="build_dependency_missing",
            packages=packages,
        )
    if features:
        raise feature_missing(features, family, "its header is not installed")


def feature_missing(features: list[str], family: str, why: str) -> CheckpointError:
    packages = [FEATURES[name].package(family) for name in features]
    return CheckpointError(
        f"Cannot build CRIU with {', '.join(repr(name) for name in features)}: {why}. Install {' '.join(packages)}.",
        reason="feature_missing",
        packages=packages,
    )


def explain_build(completed: Completed, family: str) -> CheckpointError:
    """What a failed compile run means: a missing header or tool, else the first line that names an error."""
    text = f"{completed.out}\n{completed.err}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    facts: dict[str, Any] = {"cmd": list(completed.argv), "rc": completed.rc, "log_tail": lines[-LOG_TAIL:]}
    pattern = r"fatal error: (\S+): No such file|(\S+): (?:command )?not found|make.*: (\S+): No such file"
    names = {name for found in re.findall(pattern, text) for name in found if name}
    gone = [
        need for need in (*TOOLS, *HEADERS, *FEATURES.values()) if names & {need.probe, os.path.basename(need.probe)}
    ]
    if gone:
        packages = [need.package(family) for need in gone]
        names_gone = ", ".join(repr(need.probe) for need in gone)
        return CheckpointError(
            f"Cannot build CRIU: {names_gone} not found. Install {' '.join(packages)}.",
            reason="build_dependency_missing",
            packages=packages,
            **facts,
        )
    first = next((line for line in lines if re.search(r"\berror\b|\*\*\*", line, re.IGNORECASE)), completed.last_line)
    return CheckpointError(
        f"Cannot build CRIU: {first.rstrip('.')}. See log_tail, and build on the system that will run it.",
        reason="build_failed",
        **facts,
    )


def compile_argv(job: Job) -> tuple[str, ...]:
    """The argument list that compiles CRIU and nothing else: no Python, no manual, no plugin."""
    options = ["WERROR=0", f"PREFIX={job.prefix}", f"PLUGINDIR={job.prefix}/lib/criu"]
    if "nftables" in job.features:
        options.append("NETWORK_LOCK_DEFAULT=NETWORK_LOCK_NFTABLES")
    if "gnutls" not in job.features:
        options.append("NO_GNUTLS=1")
    return ("make", "-C", f"{job.work}/src", f"-j{job.jobs}", *options, "criu")


def build_steps(job: Job, family: str) -> tuple[Step, ...]:
    """The steps that make the artifact; the caller ends its plan with ``clean_step``."""
    work, tree, partial = job.work, f"{job.work}/tree", f"{job.artifact}.partial"
    source = f"{work}/source.tar" if job.fetch else job.source
    fetched = (WriteFile(source, job.fetch, 0o600, why="store the source"),) if job.fetch else ()
    pack = (
        "tar",
        "--sort=name",
        "--format=gnu",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=go-w",
    )
    return (
        Remove(work, why="remove the rest of an interrupted build"),
        MakeDir(work, 0o700, why="make the work folder"),
        *fetched,
        Unpack(source, f"{work}/src", strip=1, why="unpack the source"),
        Command(compile_argv(job), why=f"compile CRIU {job.version}", label="compile"),
        MakeDir(f"{tree}/sbin", 0o755),
        MakeDir(f"{tree}/lib/criu", 0o755),
        Command(("install", "-m", "0755", "-s", f"{work}/src/criu/criu", f"{tree}/{BINARY}"), why="strip the binary"),
        Command(("install", "-m", "0644", f"{work}/src/COPYING", f"{tree}/COPYING"), why="add the license"),
        WriteFile(f"{tree}/{MANIFEST}", lambda: built_manifest(job, family), 0o644, why="write the manifest"),
        MakeDir(os.path.dirname(job.artifact), 0o755, why="make the folder of the artifact"),
        Command(
            (*pack, "--use-compress-program=gzip -n", "-C", tree, "-cf", partial, "COPYING", "lib", MANIFEST, "sbin"),
            why=f"pack {job.artifact!r}",
            creates_partial=partial,
        ),
        Rename(partial, job.artifact, 0o644, why="store the artifact"),
    )


def clean_step(job: Job) -> Step:
    """Removes the work folder, on every path."""
    return Remove(job.work, always=True, why="remove the work folder")


def built_manifest(job: Job, family: str) -> str:
    """Read what was compiled and return its manifest; a wanted feature that it lacks is an error."""
    tree = f"{job.work}/tree"
    with open(f"{job.work}/src/Makefile.versions", encoding="utf-8") as handle:
        version = parse_version(handle.read())
    if version != job.version:
        raise source_invalid(job.source, f"its name says version {job.version}, its content {version}")
    try:
        with open(f"{tree}/{BINARY}", "rb") as binary:
            elf = read_elf(binary)
    except ElfError as error:
        raise CheckpointError(
            f"Cannot use the compiled {tree}/{BINARY!r}: {error}. Look at the compiler's environment.",
            reason="build_failed",
        ) from error
    lost = [name for name in job.features if name not in linked_features(elf.needed)]
    if lost:
        raise feature_missing(lost, family, "the compiled binary is not linked with it")
    return render_manifest(manifest_of(job, elf, {name: file_sha256(f"{tree}/{name}") for name in (BINARY, "COPYING")}))


def manifest_of(job: Job, elf: Elf, files: dict[str, str]) -> Manifest:
    return Manifest(
        id=job.id,
        version=job.version,
        features=linked_features(elf.needed),
        libraries=elf.needed,
        architecture=job.architecture,
        built_on=job.built_on,
        source_sha256=job.source_sha256,
        files=files,
    )


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
