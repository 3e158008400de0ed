# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans how to compile CRIU from its source and to pack the result, and writes the manifest of the result."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass, field
from typing import Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.pack import pack_steps
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Remove,
    Step,
    Unpack,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.streams import StreamError
from ansible_collections.criu.hosts.plugins.module_utils._core.tar import open_tar
from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import linked_features
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.given import demand_given, sum_of
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.manifest import (
    BINARY,
    MANIFEST,
    Manifest,
    build_id,
    oldest_libc,
    plugin_file,
    render_manifest,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.needs import feature_missing
from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import Elf, ElfError, read_elf
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import demand_text

# The source of CRIU before 4.2 has this link to protobuf's header.
DESCRIPTOR = ("images/google/protobuf/descriptor.proto", "/usr/include/google/protobuf/descriptor.proto")
SERIES = "debian/patches/series"
# Both files that are read in an archive have far less.
TEXT_LIMIT = 1 << 20


@dataclass(frozen=True)
class Patches:
    """A distribution's patches: the content of the archive, and the names in its debian/patches/series."""

    content: bytes = field(repr=False)
    names: tuple[str, ...]

    @property
    def sha256(self) -> str:
        return sum_of(self.content)


@dataclass(frozen=True)
class Job:
    """A build to do. ``fetch`` returns the content of the source; ``artifact`` is where to keep it, or empty."""

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
    fetch: Callable[[], bytes] = field(compare=False, repr=False)
    plugins: tuple[str, ...] = ()
    patches: Patches | None = None

    @property
    def id(self) -> str:
        return build_id(
            self.source_sha256,
            self.features,
            self.architecture,
            self.built_on,
            plugins=sorted(self.plugins),
            patches=self.patches.sha256 if self.patches else "",
        )

    @property
    def tree(self) -> str:
        """Returns the name of the folder that this build is installed in."""
        return f"{self.version}-{self.id}"

    @property
    def work(self) -> str:
        return f"{self.folder}/{self.id}"

    @property
    def packed(self) -> str:
        """Returns the path of the result in the work folder, where only root can change it."""
        return f"{self.work}/criu.tar.gz"


def parse_version(makefile: str) -> str | None:
    """Returns the version in CRIU's Makefile.versions; None if this is not such a file."""
    found = dict(re.findall(r"^CRIU_VERSION_(MAJOR|MINOR|SUBLEVEL)\s*:=[ \t]*(\d*)", makefile, re.MULTILINE))
    if not found.get("MAJOR"):
        return None
    return ".".join(found[part] for part in ("MAJOR", "MINOR", "SUBLEVEL") if found.get(part))


def version_of_url(url: str) -> str | None:
    """Returns the version in a file name like criu-4.2.1.tar.gz, criu_4.2.1.orig.tar.xz or v4.2.1.tar.gz."""
    found = re.search(r"(?:^|[-_/v])(\d+\.\d+(?:\.\d+)*)(?=[.+~_-][a-z])", url.split("?", 1)[0].rsplit("/", 1)[-1])
    return found.group(1) if found else None


def version_of_tarball(path: str, content: bytes) -> str:
    """Returns the version of the CRIU source in the tarball ``path``, which is read only up to Makefile.versions."""
    try:
        archive = open_tar(io.BytesIO(content))
        for member in archive:
            if member.kind == "file" and len(member.parts) == 2 and member.parts[1] == "Makefile.versions":
                version = parse_version(archive.content(TEXT_LIMIT).decode("utf-8", "replace"))
                if version:
                    return version
    except (StreamError, OSError) as error:
        raise source_invalid(path, "it is not a readable tar archive") from error
    raise source_invalid(path, "it has no Makefile.versions of CRIU")


def read_patches(path: str) -> Patches:
    """Reads which patches to apply from the archive ``path``, which is laid out like Debian's *.debian.tar.xz."""
    try:
        content = demand_given(path)
        archive = open_tar(io.BytesIO(content))
        for member in archive:
            if member.kind == "file" and "/".join(member.parts) == SERIES:
                text = archive.content(TEXT_LIMIT).decode("utf-8", "replace")
                return Patches(content, parse_series(text))
    except (StreamError, OSError) as error:
        raise source_invalid(path, "it is not a readable tar archive of patches") from error
    raise source_invalid(path, f"it has no {SERIES}")


def parse_series(text: str) -> tuple[str, ...]:
    """Returns the names in a quilt series, without those that lead out of the folder; quilt never writes such names."""
    words = (line.split("#", 1)[0].split() for line in text.splitlines())
    return tuple(word[0] for word in words if word and ".." not in word[0] and not word[0].startswith("/"))


def source_invalid(source: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot build CRIU from {source!r}: {why}. Name a source tarball of CRIU.", reason="source_invalid"
    )


def compile_argv(job: Job) -> tuple[str, ...]:
    """Returns the command that compiles CRIU and the plugins, without CRIU's Python parts and manual."""
    options = ["WERROR=0", f"PREFIX={job.prefix}", f"PLUGINDIR={job.prefix}/lib/criu"]
    if "nftables" in job.features:
        options.append("NETWORK_LOCK_DEFAULT=NETWORK_LOCK_NFTABLES")
    if "gnutls" not in job.features:
        options.append("NO_GNUTLS=1")
    plugins = (f"{name}_plugin" for name in job.plugins)
    return ("make", "-C", f"{job.work}/src", f"-j{job.jobs}", *options, "criu", *plugins)


def build_steps(job: Job, family: str) -> tuple[Step, ...]:
    """Returns the steps that make the artifact; the caller ends its plan with ``clean_step``."""
    work, tree = job.work, f"{job.work}/tree"
    source = f"{work}/source.tar"
    return (
        Remove(work, why="remove the remains of an interrupted build"),
        MakeDir(work, 0o700, why="make the work folder"),
        WriteFile(source, job.fetch, 0o600, why="store the source"),
        Unpack(source, f"{work}/src", strip=1, outside=(DESCRIPTOR,), why="unpack the source"),
        *patch_steps(job),
        Command(compile_argv(job), why=f"compile CRIU {job.version}", label="compile"),
        MakeDir(f"{tree}/sbin", 0o755),
        MakeDir(f"{tree}/lib/criu", 0o755),
        Command(("install", "-m", "0755", "-s", f"{work}/src/criu/criu", f"{tree}/{BINARY}"), why="strip the binary"),
        *(plugin_step(job, name) for name in job.plugins),
        Command(("install", "-m", "0644", f"{work}/src/COPYING", f"{tree}/COPYING"), why="add the license"),
        WriteFile(f"{tree}/{MANIFEST}", lambda: built_manifest(job, family), 0o644, why="write the manifest"),
        *pack_steps(tree, job.packed, ("COPYING", "lib", MANIFEST, "sbin"), compress="gzip -n"),
        *(keep_steps(job.packed, job.artifact) if job.artifact else ()),
    )


def keep_steps(packed: str, target: str) -> tuple[Step, ...]:
    """Returns the steps that copy a packed archive out of the work folder, to where a task wants it.

    That may be a folder of another user, so nothing there is opened by its name, and nothing is read from there again.
    """
    return (
        MakeDir(os.path.dirname(target), 0o755, why="make the folder of the archive"),
        WriteFile(target, lambda: demand_given(packed), 0o644, why="store the archive"),
    )


def plugin_step(job: Job, name: str) -> Step:
    source, target = f"{job.work}/src/plugins/{name}/{name}_plugin.so", f"{job.work}/tree/{plugin_file(name)}"
    return Command(("install", "-m", "0755", "-s", source, target), why=f"add the plugin {name!r}")


def patch_steps(job: Job) -> tuple[Step, ...]:
    """Returns the steps that apply the distribution's patches to the source."""
    if job.patches is None:
        return ()
    folder, content = f"{job.work}/patches", job.patches.content
    return (
        WriteFile(f"{folder}.tar", lambda: content, 0o600, why="store the patches"),
        Unpack(f"{folder}.tar", folder, why="unpack the patches"),
        *(
            Command(
                ("patch", "-d", f"{job.work}/src", "-p1", "-f", "-i", f"{folder}/{os.path.dirname(SERIES)}/{name}"),
                why=f"apply the patch {name!r}",
            )
            for name in job.patches.names
        ),
    )


def clean_step(job: Job) -> Step:
    """Returns the step that removes the work folder, even if the build fails."""
    return Remove(job.work, always=True, why="remove the work folder")


def built_manifest(job: Job, family: str) -> str:
    """Reads the compiled files and returns their manifest, or raises if the binary lacks a required feature."""
    tree = f"{job.work}/tree"
    version = parse_version(demand_text(f"{job.work}/src/Makefile.versions"))
    if version != job.version:
        raise source_invalid(job.source, f"its name has version {job.version}, its content version {version}")
    try:
        with open(f"{tree}/{BINARY}", "rb") as binary:
            elf = read_elf(binary)
    except ElfError as error:
        raise CheckpointError(
            f"Cannot use the compiled {tree}/{BINARY!r}: {error}. Check the compiler's environment.",
            reason="build_failed",
        ) from error
    lost = [name for name in job.features if name not in linked_features(elf.needed)]
    if lost:
        raise feature_missing(lost, family, "the compiled binary is not linked with it")
    names = (BINARY, "COPYING", *(plugin_file(name) for name in job.plugins))
    return render_manifest(manifest_of(job, elf, {name: file_sha256(f"{tree}/{name}") for name in names}))


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
        plugins=job.plugins,
        libc=oldest_libc(elf.versions),
        patches_sha256=job.patches.sha256 if job.patches else "",
    )
