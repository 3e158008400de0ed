# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host with a container of LXC in a folder: its files, its cgroup, and recorded answers of lxc-info."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import KEYS, ROOTFS, parse_info
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.engine import Lxc
from ansible_collections.criu.hosts.tests.unit.containers import World, world
from ansible_collections.criu.hosts.tests.unit.harness import Reply, Write

FIXTURES = Path(__file__).parent / "fixtures/lxc"
ROOT = "/var/lib/lxc"
TARGET = ["--name=web", f"--lxcpath={ROOT}"]
INFO = ["lxc-info", *TARGET, "--state", "--pid", *(f"--config={key}" for key in KEYS)]
WAIT = ["lxc-wait", *TARGET, "--state=STOPPED", "--timeout=60"]
FREEZE = [["lxc-freeze", *TARGET], ["lxc-unfreeze", *TARGET]]
DUMPED_AT, LATER = 1_700_000_100_000_000_000, 1_700_000_200_000_000_000


def recorded(name: str) -> str:
    return (FIXTURES / f"6.0.4-{name}").read_text(encoding="utf-8")


def stat_of(pid: int, name: str, parent: int, start: int) -> str:
    """Returns /proc/PID/stat of a process; the fields that nobody reads are 0."""
    return f"{pid} ({name}) S {parent} {'0 ' * 17}{start} 0\n"


# The monitor of the container, and when it was started, in ticks since the boot.
MONITOR, START = 70, 123456
# The process of the recording.
PID = parse_info(recorded("info-running.txt")).pid


@dataclass
class LxcHost:
    """The container web on the scripted host."""

    made: World

    @property
    def home(self) -> Path:
        return self.made.folder / "var/lib/lxc/web"

    @property
    def images(self) -> Path:
        return self.home / "criu-hosts/checkpoint"

    @property
    def cgroup(self) -> Path:
        return self.made.folder / "sys/fs/cgroup/lxc.payload.web"

    @property
    def engine(self) -> Lxc:
        return Lxc(self.made.paths, 0, ROOT)

    @property
    def argv(self) -> list[str]:
        """The commands by which a running container is dumped in place."""
        folder = self.home / "criu-hosts"
        return [
            *("criu", "dump", f"--tree={PID}", f"--images-dir={folder}/checkpoint", f"--work-dir={folder}/work"),
            *("--log-file=dump.log", "-v4", "--link-remap", "--manage-cgroups=full", "--enable-external-sharing"),
            *("--enable-external-masters", "--enable-fs=hugetlbfs", "--enable-fs=tracefs", "--skip-in-flight"),
            *("--ext-mount-map=auto", f"--freeze-cgroup={self.cgroup}"),
            "--ext-mount-map=/sys/fs/fuse/connections:sys/fs/fuse/connections",
        ]

    def restore_argv(self, images: str = "checkpoint") -> list[str]:
        folder = self.home / "criu-hosts"
        return [
            *("env", f"CRIU_CONFIG_FILE={folder}/restore.conf", "systemd-cat", "--identifier=lxc-checkpoint"),
            *("lxc-checkpoint", *TARGET, "--restore", f"--checkpoint-dir={folder}/{images}", "--verbose"),
            *(f"--action-script={folder}/freeze", "--quiet", f"--logfile={folder}/lxc.log", "--logpriority=ERROR"),
        ]

    def started(self, by: str = "lxc-start", at: int = DUMPED_AT - 1) -> None:
        """Writes what the hook of the role writes: a copy of the stat file of the container's monitor."""
        (self.home / "criu-hosts.run").write_text(stat_of(MONITOR, by, 1, START))
        os.utime(self.home / "criu-hosts.run", ns=(at, at))

    def runs(self, *, frozen: bool = False) -> None:
        """Starts its processes."""
        self.made.process(PID, [""] * 4)
        (self.made.folder / f"proc/{PID}/stat").write_text(stat_of(PID, "python3", MONITOR, START + 1))
        (self.made.folder / f"proc/{MONITOR}").mkdir(exist_ok=True)
        (self.made.folder / f"proc/{MONITOR}/stat").write_text(stat_of(MONITOR, "lxc-start", 1, START))
        (self.made.folder / f"proc/{PID}/cgroup").write_text("0::/lxc.payload.web\n")
        self.cgroup.mkdir(exist_ok=True)
        (self.cgroup / "cgroup.events").write_text(f"populated 1\nfrozen {int(frozen)}\n")

    def ends(self) -> None:
        self.made.end(PID)
        (self.cgroup / "cgroup.events").unlink()
        self.cgroup.rmdir()

    def dumped(self) -> None:
        """Writes CRIU's images, as a dump does that ends the container."""
        (self.images / "inventory.img").write_bytes(b"inventory")
        os.utime(self.images / "inventory.img", ns=(DUMPED_AT, DUMPED_AT))

    def answers(self, *names: str) -> None:
        """Lets lxc-info give these recorded answers before and after the writes."""
        states = ("any",) if len(names) == 1 else ("before", "after")
        self.made.script(
            *(Reply(INFO, out=recorded(f"info-{name}.txt"), state=state) for name, state in zip(names, states))
        )

    def dump(self, *flags: str, ends: bool = True) -> None:
        def effect() -> None:
            self.dumped()
            if ends:
                self.ends()

        self.made.script(Write([*self.argv, *flags], turns=ends, effect=effect), Write(WAIT))

    def writes(self, *commands: list[str], effect: Callable[[], None] | None = None) -> None:
        """Scripts commands; the first one has the effect."""
        for number, argv in enumerate(commands):
            self.made.script(Write(argv, effect=effect if number == 0 else None))


def lxc_host(folder: Path) -> LxcHost:
    """Makes a host without a security module, and a container that the role has set up."""
    made = LxcHost(world(folder, selinux="disabled"))
    rootfs = folder / parse_info(recorded("info-running.txt")).settings[ROOTFS].lstrip("/")
    rootfs.mkdir(parents=True)
    (made.home / "config").write_text("lxc.uts.name = web\n")
    (folder / "sys/fs/cgroup").mkdir(parents=True)
    (folder / "sys/fs/cgroup/cgroup.controllers").write_text("\n")
    (folder / "sys/fs/fuse/connections").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text("2:cpuacct:/\n1:cpu:/\n0::/system.slice/ssh.service\n")
    made.started()
    made.made.script(Reply(["systemctl", "is-active", "--quiet", "--", "lxc@web.service"], rc=3))
    return made
