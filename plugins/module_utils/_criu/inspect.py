# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what a host's CRIU is and can do, and what around it decides whether a container can be checkpointed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import linked_features
from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import Elf, ElfError, read_elf
from ansible_collections.criu.hosts.plugins.module_utils._formats.file_capabilities import parse_capabilities

# systemd's default PATH: what a unit, and podman in it, searches, in this order.
FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
BOOLEANS = ("unconfined_dyntrans_all", "criu_container_restore", "virt_sandbox_use_all_caps")


def parse_version(text: str) -> str | None:
    """The version in the output of criu, crun, runc or podman --version: the first word that begins like one."""
    found = re.search(r"(?:^|\s)v?(\d+\.\d+(?:\.\d+)*)", text)
    return found.group(1) if found else None


def version_number(version: str | None) -> int | None:
    """CRIU's own way to write a version as a number: 4.2.1 is 40201."""
    if version is None:
        return None
    parts = [int(part) for part in version.split(".")[:3]] + [0, 0]
    return parts[0] * 10000 + parts[1] * 100 + parts[2]


def parse_config_error(completed: Completed) -> str | None:
    """The first line of a ``criu --version`` that a bad configuration file broke."""
    if completed.rc == 0:
        return None
    lines = [line.strip() for line in f"{completed.err}\n{completed.out}".splitlines() if line.strip()]
    return lines[0] if lines else f"exit status {completed.rc}"


def find_all(root: str, name: str) -> list[str]:
    """The executables ``name`` in FOLDERS, in that order, each real file once."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        path = f"{root}{folder}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def find(root: str, name: str) -> str | None:
    return next(iter(find_all(root, name)), None)


def read_text(path: str) -> str | None:
    """The content of a small file; None if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read(65536).strip()
    except OSError:
        return None


def read_lsm(root: str) -> dict[str, Any]:
    """SELinux' mode, policy and booleans, and whether AppArmor is on."""
    mount = f"{root}/sys/fs/selinux"
    enforce = read_text(f"{mount}/enforce")
    config = re.search(r"^\s*SELINUXTYPE\s*=\s*(\S+)", read_text(f"{root}/etc/selinux/config") or "", re.MULTILINE)
    return {
        "selinux": {
            "mode": {"1": "enforcing", "0": "permissive"}.get(enforce or "", "disabled"),
            "policy": config.group(1) if config and enforce is not None else None,
            "booleans": {name: parse_boolean(read_text(f"{mount}/booleans/{name}")) for name in BOOLEANS},
        },
        "apparmor": read_text(f"{root}/sys/module/apparmor/parameters/enabled") == "Y",
    }


def read_config(root: str) -> dict[str, str]:
    """The text of CRIU's configuration files, by path."""
    folder = f"{root}/etc/criu"
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    texts = {f"{folder}/{name}": read_text(f"{folder}/{name}") for name in names if name.endswith(".conf")}
    return {path: text for path, text in texts.items() if text is not None}


def parse_boolean(text: str | None) -> str | None:
    """The current value in a file of selinuxfs' booleans, "current pending": on, off, or None if it is not there."""
    return None if text is None else "on" if text.split()[:1] == ["1"] else "off"


@dataclass(frozen=True)
class Binary:
    """What the file says of itself. ``elf`` is None for a script."""

    elf: Elf | None
    capabilities: dict[str, Any] | None


def read_binary(path: str) -> Binary:
    try:
        with open(path, "rb") as handle:
            elf: Elf | None = read_elf(handle)
    except (ElfError, OSError):
        elf = None
    try:
        attribute = os.getxattr(path, "security.capability")
    except OSError:
        attribute = b""
    return Binary(elf, parse_capabilities(attribute))


def linkage(elf: Elf | None) -> dict[str, Any]:
    """Libraries, and whether the known features are among them; None where the file does not tell."""
    linked = linked_features(elf.needed) if elf else ()
    features = {name: (name in linked) if elf else None for name in ("selinux", "nftables", "gnutls")}
    return {"libraries": list(elf.needed) if elf else None, **features}


def read_version(runner: Runner, criu: str) -> tuple[str | None, str | None]:
    """Version, and the line with which a bad configuration file breaks every call."""
    plain = runner.run([criu, "--version"])
    error = parse_config_error(plain)
    if error is None:
        return parse_version(plain.out), None
    return parse_version(runner.run([criu, "--no-default-config", "--version"]).out), error
