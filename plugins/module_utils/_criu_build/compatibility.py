# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks whether a host can run an artifact of CRIU, before anything is changed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import library_packages
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.manifest import Artifact, oldest_libc
from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import MACHINES


def parse_ldconfig(text: str) -> set[str]:
    """Returns the names of the libraries that ``ldconfig -p`` lists."""
    return set(re.findall(r"^[ \t]+(\S+) \(", text, re.MULTILINE))


@dataclass(frozen=True)
class System:
    """What a host offers to a program: its machine, its glibc (empty: none), its libraries (empty: unknown)."""

    paths: Paths
    machine: str
    family: str
    libc: str
    libraries: set[str]


def host_libc() -> str:
    """Returns the version of the host's glibc, empty if the host has a different C library."""
    try:
        name, dummy, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (OSError, ValueError):
        return ""
    return version if name == "glibc" else ""


def check_artifact(path: str, artifact: Artifact, system: System) -> None:
    """Raises artifact_unusable if this host cannot run the artifact, by its machine, C library and other libraries."""
    machine, libraries = system.machine, system.libraries
    machine = re.sub(r"^arm.*", "arm", re.sub(r"^i[3-6]86$", "i386", machine))
    if artifact.elf.machine != machine and machine in MACHINES.values():
        raise artifact_unusable(
            path, f"it is for {artifact.elf.machine}, and this host is {machine}", "Build it for this host"
        )
    loader, wanted = artifact.elf.interpreter, oldest_libc(artifact.elf.versions)
    if loader and not os.path.exists(system.paths.below(loader)):
        raise artifact_unusable(path, f"this host has no {loader}", "Build it on this distribution")
    if wanted and version_tuple(wanted) > version_tuple(system.libc):
        has = f"glibc {system.libc}" if system.libc else "no glibc"
        advice = "Build it on this distribution, or on an older release"
        raise artifact_unusable(path, f"it needs glibc {wanted}, and this host has {has}", advice)
    gone = [name for name in artifact.needed if name not in libraries and not name.startswith("ld-linux")]
    if libraries and gone:
        packages = library_packages(gone, system.family)
        advice = f"Install {' '.join(packages)}" if packages else "Build it on this distribution"
        raise artifact_unusable(path, f"this host lacks {', '.join(gone)}", advice, packages=packages)


def artifact_unusable(path: str, why: str, advice: str, **facts: Any) -> CheckpointError:
    return CheckpointError(f"Cannot install CRIU from {path!r}: {why}. {advice}.", reason="artifact_unusable", **facts)
