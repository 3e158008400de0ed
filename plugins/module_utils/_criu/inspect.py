# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds a host's CRIU, and reads its version, its linkage, its configuration files and the security modules."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version
from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import linked_features
from ansible_collections.criu.hosts.plugins.module_utils._criu.program import read_capability_attribute, read_program
from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import Elf
from ansible_collections.criu.hosts.plugins.module_utils._formats.file_capabilities import parse_capabilities
from ansible_collections.criu.hosts.plugins.module_utils._host.names import BOOLEANS
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.labels import apparmor_rules
from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.loaded import (
    CONTAINER_PROFILE,
    read_loaded,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import boolean_value, read_mode
from ansible_collections.criu.hosts.plugins.module_utils._lsm.active import read_active, ruling

# The default PATH of systemd, which a unit, and Podman in it, searches in this order.
FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
ON_OFF = {True: "on", False: "off", None: None}


def parse_config_error(completed: Completed) -> str | None:
    """Returns the first line of a ``criu --version`` that a bad configuration file broke."""
    if completed.rc == 0:
        return None
    lines = [line.strip() for line in f"{completed.err}\n{completed.out}".splitlines() if line.strip()]
    return lines[0] if lines else f"exit status {completed.rc}"


def find_all(paths: Paths, name: str) -> list[str]:
    """Returns the executables ``name`` in FOLDERS, in that order, each real file once."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        path = paths.below(f"{folder}/{name}")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def find(paths: Paths, name: str) -> str | None:
    """Returns the first executable ``name`` in FOLDERS."""
    return next(iter(find_all(paths, name)), None)


def _shown(text: str) -> str:
    """Returns a text for a return value: bytes that are not UTF-8 are replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read(path: str) -> str | None:
    """Reads a small file for a return value; None if it cannot be read."""
    text = read_text(path, may_fail=True)
    return None if text is None else _shown(text).strip()


def read_apparmor(paths: Paths) -> dict[str, Any]:
    """Reads whether AppArmor is on, whether its parser is installed, and which profiles of containers are loaded."""
    loaded = read_loaded(paths)
    mine = None if loaded is None else sorted(_shown(name) for name in loaded if name.startswith(CONTAINER_PROFILE))
    return {"enabled": apparmor_rules(paths), "parser": find(paths, "apparmor_parser"), "container_profiles": mine}


def read_lsm(paths: Paths) -> dict[str, Any]:
    """Reads which security modules are active, and the state of SELinux and AppArmor."""
    selinuxfs, active, apparmor = paths.selinuxfs, read_active(paths), read_apparmor(paths)
    mode = read_mode(selinuxfs)
    enabled = mode != "disabled"
    config = re.search(
        r"^[ \t]*SELINUXTYPE[ \t]*=[ \t]*(\S+)", _read(paths.below("/etc/selinux/config")) or "", re.MULTILINE
    )
    return {
        "active": None if active is None else [_shown(name) for name in active],
        "ruling": ruling(active, selinux=enabled, apparmor=apparmor["enabled"]),
        "selinux": {
            "mode": mode,
            "policy": config.group(1) if config and enabled else None,
            "booleans": {name: ON_OFF[boolean_value(selinuxfs, name)] if enabled else None for name in BOOLEANS},
        },
        "apparmor": apparmor,
    }


def read_config(paths: Paths) -> dict[str, str]:
    """Reads CRIU's configuration files; returns their texts by path."""
    folder = paths.below("/etc/criu")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    texts = {f"{folder}/{name}": _read(f"{folder}/{name}") for name in names if name.endswith(".conf")}
    return {path: text for path, text in texts.items() if text is not None}


@dataclass(frozen=True)
class Binary:
    """The ELF headers of a program (None for a script) and its file capabilities."""

    elf: Elf | None
    capabilities: dict[str, Any] | None


def read_binary(path: str) -> Binary:
    return Binary(read_program(path), parse_capabilities(read_capability_attribute(path)))


def linkage(elf: Elf | None) -> dict[str, Any]:
    """Returns the libraries, and whether those of the known features are among them; None if that is unknown."""
    linked = linked_features(elf.needed) if elf else ()
    features = {name: (name in linked) if elf else None for name in ("selinux", "nftables", "gnutls")}
    return {"libraries": list(elf.needed) if elf else None, **features}


def read_version(runner: Runner, criu: str) -> tuple[str | None, str | None]:
    """Returns the version, and the line with which a bad configuration file breaks every call."""
    plain = runner.run([criu, "--version"])
    error = parse_config_error(plain)
    if error is None:
        return parse_version(plain.out), None
    return parse_version(runner.run([criu, "--no-default-config", "--version"]).out), error
