# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Whether a host can run an artifact of CRIU: asked before anything is changed."""

from __future__ import annotations

import re
from typing import Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._criu_manifest import Artifact
from ansible_collections.criu.hosts.plugins.module_utils._elf import MACHINES
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError

# library: Debian's package, Fedora's package
LIBRARIES = {
    "libbsd": ("libbsd0", "libbsd"),
    "libgnutls": ("libgnutls30t64", "gnutls"),
    "libnet": ("libnet1", "libnet"),
    "libnftables": ("libnftables1", "nftables-libs"),
    "libnl-3": ("libnl-3-200", "libnl3"),
    "libprotobuf-c": ("libprotobuf-c1", "protobuf-c"),
    "libselinux": ("libselinux1", "libselinux"),
    "libuuid": ("libuuid1", "libuuid"),
}


def parse_ldconfig(text: str) -> set[str]:
    """The library names that ``ldconfig -p`` lists."""
    return set(re.findall(r"^\s+(\S+) \(", text, re.MULTILINE))


def check_artifact(path: str, artifact: Artifact, machine: str, libraries: set[str], family: str) -> None:
    """Raise artifact_unusable when this host cannot run the artifact; ``libraries`` empty: not known."""
    machine = re.sub(r"^arm.*", "arm", re.sub(r"^i[3-6]86$", "i386", machine))
    if artifact.elf.machine != machine and machine in MACHINES.values():
        raise artifact_unusable(
            path, f"it is for {artifact.elf.machine}, this host is {machine}", "Build it for this host"
        )
    gone = [name for name in artifact.elf.needed if name not in libraries and not name.startswith("ld-linux")]
    if libraries and gone:
        packages = library_packages(gone, family)
        advice = f"Install {' '.join(packages)}" if packages else "Build it on this distribution"
        raise artifact_unusable(path, f"this host lacks {', '.join(gone)}", advice, packages=packages)


def artifact_unusable(path: str, why: str, advice: str, **facts: Any) -> CheckpointError:
    return CheckpointError(f"Cannot install CRIU from {path!r}: {why}. {advice}.", reason="artifact_unusable", **facts)


def library_packages(names: Iterable[str], family: str) -> list[str]:
    """The packages that ship the libraries ``names``, as far as they are known."""
    column = {"debian": 0, "redhat": 1}.get(family)
    if column is None:
        return []
    return [LIBRARIES[name.split(".so", 1)[0]][column] for name in names if name.split(".so", 1)[0] in LIBRARIES]
