# SPDX-License-Identifier: GPL-3.0-or-later
"""Provides hosts as criu_info found them: files, programs and output of commands, recorded in fixtures/hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.criu.hosts.tests.unit import criu_host as fake
from ansible_collections.criu.hosts.tests.unit.harness import Host, Reply, put_host

BINARIES = {"selinux": fake.WITH_SELINUX, "plain": fake.WITHOUT_SELINUX}


def place(folder: Path, name: str, *, files: dict[str, str] | None = None) -> Host:
    """Writes the recorded host below ``folder`` and returns its commands. ``files`` are changed or added."""
    recorded: dict[str, Any] = json.loads((fake.FIXTURES / f"hosts/{name}.json").read_text(encoding="utf-8"))
    put_host(folder, uid=0)
    # The recordings were made on x86_64, before the architecture was read.
    for path, text in {"/proc/sys/kernel/arch": "x86_64\n", **recorded["files"], **(files or {})}.items():
        fake.put(folder / path.lstrip("/"), text)
    for path in recorded["programs"]:
        fake.put(folder / path.lstrip("/"), "", 0o755)
    fake.put(folder / recorded["criu"].lstrip("/"), BINARIES[recorded["binary"]], 0o755)
    return Host([reply(folder, command) for command in recorded["commands"]])


def reply(folder: Path, command: dict[str, Any]) -> Reply:
    argv = [f"{folder}{command['argv'][0]}", *command["argv"][1:]]
    return Reply(argv, command["out"], command["err"], command["rc"])


def install_ours(folder: Path) -> None:
    """Makes the CRIU in use one that criu_build installed, and that is unchanged since."""
    manifest = fake.manifest()
    fake.unpacked(folder, manifest, "a" * 64)
    active = folder / "opt/criu-hosts/current/sbin/criu"
    fake.link(folder / "opt/criu-hosts/current", manifest.tree)
    (folder / "usr/local/sbin/criu").unlink()
    for path in ("usr/local/sbin/criu", "usr/sbin/criu"):
        fake.link(folder / path, active)
    diversion = f"{folder}/usr/sbin/criu\n{folder}/usr/sbin/criu.distrib\n:\n"
    fake.put(folder / "var/lib/dpkg/diversions", diversion)
