# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a build of CRIU needs, who ships it, and what a failed build says of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Callable, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError


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
LOG_TAIL = 20


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
