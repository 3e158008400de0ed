# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host with one podman container in a folder: /proc, SELinux, storage, criu, podman's recorded answers."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.tests.unit.harness import Host, Reply, Write, put_host

FIXTURES = Path(__file__).parent / "fixtures/podman"
ID = "91f04b5701638eb4362448c14748787880a8911fc8d78418cf9409c87ec9520d"
LABEL = "system_u:system_r:container_t:s0:c441,c720"
INSPECT = ["podman", "container", "inspect", "web"]
ON = ["setsebool", "criu_container_restore", "on"]
OFF = ["setsebool", "criu_container_restore", "off"]


def recorded(name: str) -> str:
    return (FIXTURES / f"5.4.2-{name}").read_text(encoding="utf-8")


def elf(*needed: str) -> bytes:
    """Returns the smallest ELF file that needs these libraries."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    offsets = [strings.index(b"\0" + name.encode() + b"\0") + 1 for name in needed]
    start, tables = 64, 64 + 2 * 56
    entries = [(1, offset) for offset in offsets] + [(5, tables + 16 * (len(needed) + 3)), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    strtab = tables + len(dynamic)
    dynamic = dynamic.replace(struct.pack("<QQ", 5, tables + 16 * (len(needed) + 3)), struct.pack("<QQ", 5, strtab))
    total = strtab + len(strings)
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, start, 0, 0, 64, 56, 2, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, total, total, 4096)
    dyn = struct.pack("<IIQQQQQQ", 2, 6, tables, tables, tables, len(dynamic), len(dynamic), 8)
    return head + load + dyn + dynamic + strings


@dataclass
class ContainerHost(Host):
    """A scripted host whose tools are files in its own folder."""

    tools: dict[str, str | None] = field(default_factory=dict)

    def get_bin_path(self, module: Any, name: str, *arguments: Any, **options: Any) -> str | None:
        return self.tools[name] if name in self.tools else super().get_bin_path(module, name)


@dataclass
class World:
    """The folder that represents the host, and the scripted host."""

    folder: Path
    host: ContainerHost
    paths: Paths = field(default_factory=Paths)

    def __post_init__(self) -> None:
        self.paths = put_host(self.folder, 0)
        (self.folder / "proc/self").mkdir(parents=True)
        self.userdata.mkdir(parents=True)

    @property
    def userdata(self) -> Path:
        return self.folder / f"var/lib/containers/storage/overlay-containers/{ID}/userdata"

    @property
    def pid_file(self) -> Path:
        return self.folder / "var/lib/containers/storage/pidfile"

    def inspected(self, case: str, **changes: Any) -> str:
        """Returns the recorded answer of podman inspect with this host's paths; ``changes`` go into HostConfig."""
        entry = json.loads(recorded(f"inspect-{case}.json"))
        entry[0]["StaticDir"] = str(self.userdata)
        entry[0]["PidFile"] = str(self.pid_file)
        entry[0]["HostConfig"].update(changes)
        return json.dumps(entry)

    def selinux(self, mode: str, boolean: bool | None = False) -> None:
        """Sets SELinux to enforcing or permissive; the policy has the boolean unless it is None."""
        base = self.folder / "sys/fs/selinux"
        (base / "booleans").mkdir(parents=True, exist_ok=True)
        (base / "enforce").write_text("1" if mode == "enforcing" else "0")
        if boolean is not None:
            self.set_boolean(boolean)

    def set_boolean(self, value: bool) -> None:
        (self.folder / "sys/fs/selinux/booleans/criu_container_restore").write_text("1 1" if value else "0 0")

    def process(self, pid: int, labels: list[str], inner: int = 1) -> None:
        """Adds a process of the container with one thread for each label."""
        base = self.folder / f"proc/{pid}"
        base.mkdir(parents=True, exist_ok=True)
        (base / "status").write_text(f"Name:\tpython3\nNSpid:\t{pid}\t{inner}\n")
        (base / "statm").write_text("6000 1400 900 1 0 900 0\n")
        for number, label in enumerate(labels):
            tid = inner if number == 0 else inner + 4 + number
            task = base / f"task/{pid + number}"
            (task / "attr").mkdir(parents=True, exist_ok=True)
            (task / "status").write_text(f"Name:\tpython3\nNSpid:\t{pid + number}\t{tid}\n")
            (task / "attr/current").write_text(f"{label}\0")
            (task / "comm").write_text("python3\n")
            (task / "children").write_text("")
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file.write_text(str(pid))

    def end(self, pid: int) -> None:
        """Ends the process."""
        for path in sorted((self.folder / f"proc/{pid}").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (self.folder / f"proc/{pid}").rmdir()

    def dump(self, stamp: int = 1_000_000_000) -> None:
        """Puts CRIU's images beside the container."""
        images = self.userdata / "checkpoint"
        images.mkdir(exist_ok=True)
        (images / "inventory.img").write_bytes(b"inventory")
        os.utime(images / "inventory.img", ns=(stamp, stamp))

    def criu(self, *needed: str, version: str = "4.2.1") -> None:
        path = self.folder / "criu"
        path.write_bytes(elf("libc.so.6", *needed))
        self.host.tools["criu"] = str(path)
        tracks = [str(path), "check", "--no-default-config", "--feature", "mem_dirty_track"]
        said = Reply([str(path), "--version"], out=f"Version: {version}\n")
        self.host.replies = [*self.host.replies, said, Reply(tracks)]

    def script(self, *replies: Reply | Write) -> None:
        self.host.replies = [*self.host.replies, *replies]


def world(folder: Path, *, selinux: str = "enforcing", boolean: bool | None = False) -> World:
    """Makes a host with a CRIU that is linked with libselinux."""
    made = World(folder, ContainerHost())
    if selinux != "disabled":
        made.selinux(selinux, boolean)
    made.criu("libselinux.so.1")
    made.script(
        Write(ON, effect=lambda: made.set_boolean(True)),
        Write(OFF, effect=lambda: made.set_boolean(False)),
    )
    return made


def running(made: World, *, after: str = "checkpointed", **changes: Any) -> None:
    """Makes the container run with 4 threads; later podman answers with the recording ``after``."""
    pid = json.loads(recorded("inspect-running.json"))[0]["State"]["Pid"]
    made.process(pid, [LABEL] * 4)
    made.script(
        Reply(INSPECT, out=made.inspected("running", **changes), state="before"),
        Reply(INSPECT, out=made.inspected(after, **changes), state="after"),
    )


def pid_of(case: str) -> int:
    return int(json.loads(recorded(f"inspect-{case}.json"))[0]["State"]["Pid"])


def checkpoint_argv(*flags: str) -> list[str]:
    return ["podman", "container", "checkpoint", "--print-stats", *flags, "web"]


def archive_argv(path: Path, *flags: str) -> list[str]:
    return checkpoint_argv(*flags, f"--export={path.parent}/.{path.name}.pipe", "--compress=zstd")


def tar_archive(path: Path, *, config: bool = True, mode: str = "w:gz") -> None:
    """Makes an archive as podman does, with the recorded config.dump."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    members = {"spec.dump": b"{}", "checkpoint/inventory.img": b"inventory"}
    if config:
        members["config.dump"] = recorded("config.dump.json").encode()
    # The path may be a pipe.
    with tarfile.open(str(path), mode.replace(":", "|")) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    path.chmod(0o600)


# A containers.conf with runtimes, and with lines that name none.
CONFIGURED = """\
[engine]
#runtime = "/evil/commented"
runtime = '/opt/default/crun' # a path

[engine.runtimes]
# "evil" = ["/evil/commented"]
own = [
  "/opt/own/runtime", # the first that is there
  #"/evil/inside",
  '/usr/local/own',
]
"crun" = [ "/opt/crun" ]

[network]
other = ["/evil/network"]
"""


def configure(folder: Path, text: str = CONFIGURED) -> None:
    """Puts a containers.conf on the host."""
    file = folder / "etc/containers/containers.conf"
    file.parent.mkdir(parents=True)
    file.write_text(text)
