# SPDX-License-Identifier: GPL-3.0-or-later
"""Provides a host's SELinux files in a folder, for the unit tests: store, compiled policy, selinuxfs."""

from __future__ import annotations

import bz2
import struct
from pathlib import Path
from typing import Any

from ansible_collections.criu.hosts.tests.unit.harness import put_host


def policy_bytes(booleans: dict[str, bool]) -> bytes:
    """Returns booleans as a compiled policy has them (see fixtures/selinux/3.8.1-policy34-booleans.b64)."""
    parts = [b"\x8c\xff\x7c\xf9rest of a policy"]
    for number, name in enumerate(booleans, 1):
        parts.append(struct.pack("<3I", number, int(booleans[name]), len(name)) + name.encode())
    return b"".join(parts) + b"more of it"


class Tree:
    """The files. With ``mode`` None, SELinux is disabled."""

    def __init__(self, folder: Path, *, mode: str | None = "1", store: bool = True) -> None:
        self.root = folder
        self.active = folder / "var/lib/selinux/default/active"
        self.write("etc/selinux/config", "SELINUX=enforcing\n# SELINUXTYPE=mls\nSELINUXTYPE=default\n")
        if store:
            (self.active / "modules/100").mkdir(parents=True)
            (self.active / "modules/disabled").mkdir()
        if mode is not None:
            self.write("sys/fs/selinux/enforce", mode)
        self.paths = put_host(folder)

    def write(self, path: str, content: str | bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def work(self, name: str) -> str:
        return str(self.active.parent / f"criu-hosts.{name}")

    def boolean(self, name: str, runtime: bool, persistent: bool | None) -> None:
        self.write(f"sys/fs/selinux/booleans/{name}", f"{int(runtime)} {int(runtime)}")
        self.write("etc/selinux/default/policy/policy.33", policy_bytes({name: not persistent}))
        self.write(
            "etc/selinux/default/policy/policy.34", policy_bytes({} if persistent is None else {name: persistent})
        )

    def install(self, name: str, priority: int, data: bytes, *, language: str = "cil", plain: bool = False) -> None:
        place = f"var/lib/selinux/default/active/modules/{priority:03d}/{name}"
        self.write(f"{place}/lang_ext", language)
        packed = data if plain else bz2.compress(data)
        self.write(f"{place}/cil", packed if language == "cil" else b"compiled")
        if language != "cil":
            self.write(f"{place}/hll", packed)

    def take(self, name: str, priority: int, language: str = "cil") -> Any:
        """Does what semodule -i does with the file."""
        return lambda: self.install(
            name, priority, Path(f"{self.work(name)}/{name}.{language}").read_bytes(), language=language
        )

    def disable(self, name: str) -> None:
        self.write(f"var/lib/selinux/default/active/modules/disabled/{name}", "")

    def enable(self, name: str) -> None:
        (self.active / "modules/disabled" / name).unlink()

    def remove(self, name: str, priority: int) -> None:
        for path in (self.active / f"modules/{priority:03d}" / name).iterdir():
            path.unlink()
        (self.active / f"modules/{priority:03d}" / name).rmdir()
