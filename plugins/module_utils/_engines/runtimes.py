# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reports which OCI runtimes a host has, and whether each can checkpoint."""

from __future__ import annotations

import ctypes
from typing import Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version
from ansible_collections.criu.hosts.plugins.module_utils._criu.inspect import find

LIBCRIU = "libcriu.so.2"


def judge_runc(version: str | None, criu: str | None) -> str | None:
    """Returns why runc cannot checkpoint; None if it can."""
    if version is None:
        return "runc is not installed"
    return None if criu else "criu is not in PATH"


def judge_crun(output: str | None, criu: str | None, libcriu_error: str | None) -> str | None:
    """Returns why crun cannot checkpoint, from the output of ``crun --version``; None if it can."""
    if output is None:
        return "crun is not installed"
    if "+CRIU" not in output:
        return "this crun is compiled without CRIU"
    if libcriu_error:
        return f"{LIBCRIU} cannot be loaded: install libcriu2 (Debian) or criu-libs (Fedora)"
    return None if criu else "criu is not in PATH"


def load_library(name: str) -> str | None:
    """Loads the library as crun does; returns the loader's message if it cannot."""
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return str(error)
    return None


def read_runtimes(
    paths: Paths, runner: Runner, criu: str | None, load: Callable[[str], str | None]
) -> list[dict[str, Any]]:
    """Describes runc and crun; ``load`` tries to load a library and returns the loader's error."""
    outputs: dict[str, str | None] = {}
    found = {name: find(paths, name) for name in ("runc", "crun")}
    for name, path in found.items():
        outputs[name] = runner.run([path, "--version"]).out if path else None
    versions = {name: parse_version(text or "") for name, text in outputs.items()}
    why = {
        "runc": judge_runc(versions["runc"], criu),
        "crun": judge_crun(outputs["crun"], criu, load(LIBCRIU) if found["crun"] else None),
    }
    return [
        {
            "name": name,
            "path": found[name],
            "version": versions[name],
            "checkpoint": why[name] is None,
            "why_not": why[name],
        }
        for name in found
    ]
