# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists what a build of CRIU needs and the packages that have it, and explains failed builds."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Callable, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import version_text, version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import FEATURES, Need


def has_header(paths: Paths, machine: str, name: str) -> bool:
    """Returns whether the C header ``name`` is in one of the folders where distributions put headers."""
    folders = (paths.below("/usr/include"), paths.below(f"/usr/include/{machine}-linux-gnu"))
    return any(os.path.exists(f"{folder}/{name}") for folder in folders)


@dataclass(frozen=True)
class Plugin:
    """A plugin of CRIU: the first version that has it, and the header that it needs in addition to CRIU's own."""

    since: tuple[int, ...]
    need: Need | None = None


PLUGINS = {
    "cuda": Plugin((4, 0)),
    "amdgpu": Plugin((3, 17), Need("libdrm/amdgpu.h", "libdrm-dev", "libdrm-devel")),
}
TOOLS = (
    Need("gcc", "gcc", "gcc"),
    Need("make", "make", "make"),
    Need("pkg-config", "pkg-config", "pkgconf-pkg-config"),
    Need("protoc", "protobuf-compiler", "protobuf-compiler"),
    Need("protoc-c", "protobuf-c-compiler", "protobuf-c-compiler"),
)
PATCH = Need("patch", "patch", "patch")
HEADERS = (
    Need("stdlib.h", "libc6-dev", "glibc-devel"),
    Need("google/protobuf/descriptor.proto", "libprotobuf-dev", "protobuf-devel"),
    Need("protobuf-c/protobuf-c.h", "libprotobuf-c-dev", "protobuf-c-devel"),
    Need("libnl3/netlink/netlink.h", "libnl-3-dev", "libnl3-devel"),
    Need("libnet.h", "libnet1-dev", "libnet-devel"),
    Need("sys/capability.h", "libcap-dev", "libcap-devel"),
    Need("uuid/uuid.h", "uuid-dev", "libuuid-devel"),
)
OF_PLUGINS = tuple(plugin.need for plugin in PLUGINS.values() if plugin.need)
LOG_TAIL = 20
# A compiler repeats lines of its source, which may have any length.
LINE_LENGTH = 2000
# Every repetition has a limit, so that the time grows with the length of the output only.
_GONE = re.compile(
    r"fatal error: (\S{1,255}): No such file|(?<!\S)(\S{1,255}): (?:command )?not found"
    r"|make.{0,99}: (\S{1,255}): No such file"
)


def need_of(name: str) -> Need | None:
    """Returns what the feature or plugin ``name`` needs beyond the base build."""
    return FEATURES[name] if name in FEATURES else PLUGINS[name].need


def too_new(name: str, version: str) -> bool:
    """Returns whether ``version`` is older than the first CRIU with the plugin ``name``."""
    return name in PLUGINS and version_tuple(version) < PLUGINS[name].since


def missing_needs(
    names: Iterable[str], which: Callable[[str], str | None], has_header: Callable[[str], bool]
) -> tuple[list[Need], list[str]]:
    """Returns the missing tools and headers of the base build, and the features and plugins whose header is missing."""
    base = [need for need in TOOLS if not which(need.probe)] + [need for need in HEADERS if not has_header(need.probe)]
    needs = {name: need_of(name) for name in names}
    return base, [name for name, need in needs.items() if need and not has_header(need.probe)]


def check_needs(base: list[Need], features: list[str], family: str) -> None:
    """Raises if anything is missing. On an unknown family headers may be elsewhere, so only the tools are checked."""
    if family == "other":
        base, features = [need for need in base if need in TOOLS], []
    packages = [need.package(family) for need in base] + packages_of(features, family)
    if base:
        raise CheckpointError(
            f"Cannot build CRIU: {', '.join(repr(need.probe) for need in base)} not found."
            f" Install {' '.join(packages)}.",
            reason="build_dependency_missing",
            packages=packages,
        )
    if features:
        raise feature_missing(features, family, "its header is not installed")


def packages_of(names: list[str], family: str) -> list[str]:
    """Returns the packages that the features and plugins ``names`` need."""
    return [need.package(family) for need in map(need_of, names) if need]


def check_version(names: Iterable[str], version: str) -> None:
    """Raises feature_missing if CRIU ``version`` does not have one of these plugins yet."""
    for name in names:
        if too_new(name, version):
            since = version_text(PLUGINS[name].since)
            raise CheckpointError(
                f"Cannot build CRIU {version} with {name!r}: the plugin came with CRIU {since}. Use a newer source.",
                reason="feature_missing",
                packages=[],
            )


def feature_missing(features: list[str], family: str, why: str) -> CheckpointError:
    packages = packages_of(features, family)
    return CheckpointError(
        f"Cannot build CRIU with {', '.join(repr(name) for name in features)}: {why}. Install {' '.join(packages)}.",
        reason="feature_missing",
        packages=packages,
    )


def explain_build(completed: Completed, family: str) -> CheckpointError:
    """Returns the error for a failed compiler run: a missing header or tool, else the first line with an error."""
    text = f"{completed.out}\n{completed.err}"
    lines = [line.strip()[:LINE_LENGTH] for line in text.split("\n") if line.strip()]
    facts: dict[str, Any] = {"cmd": list(completed.argv), "rc": completed.rc, "log_tail": lines[-LOG_TAIL:]}
    names = {name for found in _GONE.findall("\n".join(lines)) for name in found if name}
    gone = [
        need
        for need in (*TOOLS, *HEADERS, *FEATURES.values(), *OF_PLUGINS)
        if names & {need.probe, os.path.basename(need.probe)}
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
