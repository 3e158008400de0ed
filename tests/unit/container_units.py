# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host with systemd and podman in a folder: it records units, and carries out what systemctl requests."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._host.names import HEADER
from ansible_collections.criu.hosts.plugins.module_utils._unit import installed, volumes
from ansible_collections.criu.hosts.plugins.modules import container_unit
from ansible_collections.criu.hosts.tests.unit.harness import Host, put_host


@dataclass
class UnitHost(Host):
    """systemd's view of one unit. ``refusal`` is the output of a failed check, ``failure`` that of a failed start."""

    folder: Path = Path()
    active: str = "inactive"
    enabled: bool = False
    loaded: bool = False
    container: bool = False
    refusal: str = ""
    failure: str = ""
    ends_at_once: bool = False
    foreign: str = ""
    journal: str = ""
    stale: bool = False
    version: str = "5.4.2"
    checked: list[str] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put_host(self.folder, 0)
        (self.folder / "run/criu-hosts").mkdir(parents=True)
        volumes.selinux_type = self.types.get

    def with_selinux(self, **types: str) -> UnitHost:
        """Enables SELinux, with the types of some files, each by the name of a file below /srv."""
        (self.folder / "sys/fs/selinux").mkdir(parents=True)
        (self.folder / "sys/fs/selinux/enforce").write_text("1")
        self.types.update({f"/srv/{name}": found for name, found in types.items()})
        return self

    def with_quadlet(self) -> UnitHost:
        generator = self.folder / installed.GENERATOR.lstrip("/")
        generator.parent.mkdir(parents=True)
        generator.write_text("")
        return self

    def path(self, path: str) -> Path:
        return self.folder / path

    @property
    def quadlet(self) -> Path:
        return self.path("etc/containers/systemd/web.container")

    @property
    def plain(self) -> Path:
        return self.path("etc/systemd/system/web.service")

    def has_files(self) -> bool:
        return self.quadlet.exists() or self.plain.exists()

    def show(self) -> str:
        load = "loaded" if self.loaded or self.foreign else "not-found"
        state = ("enabled" if self.enabled else "disabled") if self.plain.exists() else "generated"
        pid = 1207 if self.active == "active" else 0
        source = str(self.quadlet) if self.quadlet.exists() else self.foreign
        return (
            f"MainPID={pid}\nLoadState={load}\nActiveState={self.active}\nSubState=x\nFragmentPath={self.foreign}\n"
            f"SourcePath={source}\nUnitFileState={state}\nNeedDaemonReload={'yes' if self.stale else 'no'}\n"
        )

    def run_command(self, dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        assert isinstance(args, list) and not options.get("use_unsafe_shell")
        self.ran.append(args)
        self.environments.append(options.get("environ_update") or {})
        if args[:2] == ["systemctl", "show"]:
            return 0, self.show(), ""
        if args[:3] == ["podman", "container", "exists"]:
            return (0 if self.container else 1), "", ""
        if args == ["podman", "--version"]:
            return 0, f"podman version {self.version}\n", ""
        if args[0] == "journalctl":
            return 0, self.journal, ""
        self.wrote.append(args)
        return self.change(args)

    def change(self, args: list[str]) -> tuple[int, str, str]:
        if args[0] in ("env", "systemd-analyze"):
            folder = self.path("run/criu-hosts/check-web")
            self.checked += [path.read_text() for path in sorted(folder.iterdir()) if not path.is_symlink()]
            return (1, "", self.refusal) if self.refusal else (0, "", "")
        if args == ["systemctl", "daemon-reload"]:
            self.loaded, self.stale = self.has_files(), False
            return 0, "", ""
        if args[:2] == ["podman", "rm"]:
            self.container = False
            return 0, "", ""
        if args[:2] == ["systemctl", "cat"]:
            missing = [name for name in args[3:] if name == "nosuch.service"]
            return (1, "", f"No files found for {missing[0]}.\n") if missing else (0, "", "")
        if args[0] == "chcon":
            self.types[args[-1]] = "container_file_t"
            return 0, "", ""
        return self.systemctl(args[1], args[2])

    def systemctl(self, verb: str, unit: str) -> tuple[int, str, str]:
        assert unit == "web.service"
        if verb in ("start", "restart"):
            assert self.loaded, "started before systemd has read the unit"
            if self.failure:
                self.active = "failed"
                return 1, "", self.failure
            self.active, self.container = ("failed" if self.ends_at_once else "active"), True
        elif verb in ("stop", "reset-failed"):
            self.active = "inactive"
        elif verb in ("enable", "disable"):
            self.enabled = verb == "enable"
        else:
            raise AssertionError(f"unscripted: systemctl {verb}")
        return 0, "", ""


def make_quadlet_file(folder: Path, text: str = "", name: str = "web") -> Path:
    path = folder / f"etc/containers/systemd/{name}.container"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or f"{HEADER}\n[Container]\nImage=x\n")
    return path


def container_params(**given: Any) -> dict[str, Any]:
    """Returns the options of container_unit with their defaults."""
    params = {name: copy.copy(spec.get("default")) for name, spec in container_unit.SPEC.items()}
    return {**params, "name": "web", "image": "localhost/web:1", **given}
