# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Gathers the facts about host and image that the manifest of a container's checkpoint keeps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._container.runtime import program_of
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version
from ansible_collections.criu.hosts.plugins.module_utils._criu.host_facts import host_facts
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

# A C library has 2 MiB.
LIBC_LIMIT = 16 << 20
_GLIBC = re.compile(rb"GNU C Library [^\n\0]{0,100}release version ([0-9]{1,3}\.[0-9]{1,3})")


def parse_glibc(data: bytes) -> str:
    """Returns the version in a libc.so.6 of glibc; empty if it is none."""
    found = _GLIBC.search(data)
    return found.group(1).decode("ascii") if found else ""


def _glibc(paths: Paths, container: Container, architecture: str) -> str:
    """Returns the version of glibc in the root file system of a running container; empty if it cannot be read.

    Before glibc 2.34 the file was a link, and in an image it may be: no link of a container is followed.
    """
    root = f"{paths.proc}/{container.pid}/root"
    folders = (f"lib/{architecture}-linux-gnu", "lib64", "lib")
    for folder in (*(f"usr/{one}" for one in folders), *folders) if container.pid else ():
        try:
            found = parse_glibc(read_below(root, f"{folder}/libc.so.6", limit=LIBC_LIMIT) or b"")
        except OSError:
            continue
        if found:
            return found
    return ""


def _runtime_version(ctx: Context, engine: Engine, runtime: str) -> str:
    """Returns the version of an OCI runtime of this host, a name or a path; empty if it is not known."""
    if not runtime:
        return ""
    try:
        return parse_version(ctx.runner.run((program_of(ctx, engine, runtime), "--version")).out) or ""
    except CheckpointError:  # it is not there
        return ""


def container_host_facts(ctx: Context, engine: Engine, container: Container, criu: str) -> dict[str, Any]:
    """Returns the part ``host`` of the manifest; ``criu`` is the version of CRIU. The container still runs.

    Its ``network_lock`` is empty: after the dump, ``lock_of`` reads it from the images.
    """
    facts = host_facts(ctx.paths, criu)
    return {
        **facts,
        "engine": engine.name,
        "engine_version": engine.version(ctx),
        "runtime": container.runtime,
        "runtime_version": _runtime_version(ctx, engine, container.runtime),
        "image_digest": engine.image_digest(container.image_id),
        "glibc": _glibc(ctx.paths, container, facts["architecture"]),
    }
