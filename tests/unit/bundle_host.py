# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host whose runc or crun keeps state: containers of bundles run, are dumped and restored.

Its words are recordings of runc 1.1.15 and crun 1.21. As these do, it forgets a container that a checkpoint has ended,
and crun leaves the folder of a restore that failed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from ansible_collections.criu.hosts.tests.unit.containers import LABEL, ContainerHost, World, world

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = {"runc": "1.1.15", "crun": "1.21"}
STATE_FILES = {"runc": "state.json", "crun": "status"}
BUNDLE = "/srv/web"


def recorded(runtime: str, name: str) -> str:
    return (FIXTURES / runtime / f"{VERSIONS[runtime]}-{name}").read_text(encoding="utf-8")


@dataclass
class BundleHost(ContainerHost):
    """Answers the commands of ``runtime`` from the files below ``root``. ``fails`` holds actions that fail."""

    runtime: str = "runc"
    root: str = "/run/runc"
    made: World | None = None
    label: str = LABEL
    fails: set[str] = field(default_factory=set)
    pids: dict[str, int] = field(default_factory=dict)
    clock: int = 0
    # Called with the name of the container after a dump, before the runtime forgets it.
    after: Callable[[str], None] | None = None

    @property
    def world(self) -> World:
        assert self.made is not None
        return self.made

    def below(self, path: str) -> Path:
        """The place of a path of the host; those of our own files are whole paths already."""
        return Path(path) if path.startswith(str(self.world.folder)) else self.world.folder / path.lstrip("/")

    def state_of(self, name: str) -> Path:
        return self.below(f"{self.root}/{name}")

    def configure(self, **process: Any) -> None:
        """Puts the bundle on the host, with changes of its process."""
        config = json.loads(recorded(self.runtime, "config.json"))
        config["process"].update({"selinuxLabel": self.label, **process})
        (self.below(BUNDLE) / "rootfs").mkdir(parents=True, exist_ok=True)
        (self.below(BUNDLE) / "config.json").write_text(json.dumps(config))

    def start(self, name: str = "web") -> None:
        """Lets a container run with a new process."""
        self.clock += 1
        pid = self.pids[name] = 5000 + self.clock
        self.world.process(pid, [self.label] * 2)
        folder = self.world.folder / f"proc/{pid}"
        (folder / "fd").mkdir()
        for number in range(3):
            (folder / f"fd/{number}").symlink_to("/dev/null")
        (folder / "cgroup").write_text(f"0::/system.slice/{name}\n")
        (folder / "stat").write_text(f"{pid} (python3) S 1 0\n")
        group = self.world.folder / f"sys/fs/cgroup/system.slice/{name}"
        group.mkdir(parents=True, exist_ok=True)
        (group / "cgroup.procs").write_text(f"{pid}\n")
        (group / "cgroup.events").write_text("populated 1\nfrozen 0\n")
        self.state_of(name).mkdir(parents=True, exist_ok=True)
        created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{self.clock:06}Z"
        (self.state_of(name) / STATE_FILES[self.runtime]).write_text(created)

    def end(self, name: str = "web") -> None:
        """Ends the process, as a signal does: the runtime still knows the container."""
        pid = self.pids.pop(name)
        shutil.rmtree(self.world.folder / f"proc/{pid}")

    def forget(self, name: str = "web") -> None:
        shutil.rmtree(self.state_of(name), ignore_errors=True)

    def runs(self, name: str = "web") -> bool:
        return name in self.pids

    def run_command(self, dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        if args[0] == "tar":
            self.ran.append(args)
            self.wrote.append(args)
            done = subprocess.run(args, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout, done.stderr
        if args[0] == "setsebool":
            self.ran.append(args)
            self.wrote.append(args)
            self.world.set_boolean(args[2] == "on")
            return 0, "", ""
        if args[0] != self.runtime:
            return super().run_command(dummy_module, args, **options)
        self.ran.append(args)
        if args[1:] == ["--version"]:
            return 0, recorded(self.runtime, "version.txt"), ""
        if args[1:] == ["restore", "--help"]:
            return 0, recorded(self.runtime, "restore-help.txt"), ""
        assert args[1] == f"--root={self.root}", "crun takes a variable for its root otherwise"
        words = [one for one in args[2:] if one != "--systemd-cgroup"]
        given = dict(one[2:].partition("=")[::2] for one in words if one.startswith("--"))
        action, name = words[0], words[-1]
        if action == "state":
            return self._state(name)
        self.wrote.append(args)
        act = {"checkpoint": self._checkpoint, "restore": self._restore, "delete": self._delete}.get(action)
        return act(name, given) if act is not None else self._resume(name)

    def _state(self, name: str) -> tuple[int, str, str]:
        file = self.state_of(name) / STATE_FILES[self.runtime]
        if not file.exists():
            return 1, "", recorded(self.runtime, "state-none.txt")
        entry = json.loads(recorded(self.runtime, "state-running.json" if self.runs(name) else "state-stopped.json"))
        entry.update(id=name, pid=self.pids.get(name, 0), bundle=BUNDLE, created=file.read_text())
        return 0, json.dumps(entry), ""

    def _checkpoint(self, name: str, given: dict[str, str]) -> tuple[int, str, str]:
        assert self.runs(name), "only what runs is checkpointed"
        images, work = self.below(given["image-path"]), self.below(given["work-path"])
        assert images.is_dir() and work.is_dir(), "crun makes no folder"
        (images / "pages-1.img").write_bytes(b"memory")
        (work / "dump.log").write_text("Error (criu/cr-dump.c:1): Dumping FAILED.\n")
        if "dump" in self.fails:
            return 1, "", recorded(self.runtime, "checkpoint-full.txt")
        (images / "inventory.img").write_bytes(b"inventory")
        (images / "descriptors.json").write_text("[]")
        shutil.copy(FIXTURES / self.runtime / f"{VERSIONS[self.runtime]}-stats-dump", work / "stats-dump")
        if self.after is not None:
            self.after(name)
        if "leave-running" not in given:
            self.end(name)
            self.forget(name)
        return 0, "", ""

    def _restore(self, name: str, given: dict[str, str]) -> tuple[int, str, str]:
        if self.state_of(name).exists():
            return 1, "", recorded(self.runtime, "restore-exists.txt")
        assert (self.below(given["bundle"]) / "config.json").exists()
        assert (self.below(given["image-path"]) / "inventory.img").exists()
        assert self.below(given["work-path"]).is_dir() and "detach" in given
        if "restore" in self.fails:
            (self.below(given["work-path"]) / "restore.log").write_text("Error (criu/x.c:1): Restoring FAILED.\n")
            if self.runtime == "crun":
                self.state_of(name).mkdir()
            return 1, "", recorded(self.runtime, "restore-failed.txt")
        self.start(name)
        self.below(given["pid-file"]).write_text(str(self.pids[name]))
        return 0, "", ""

    def _delete(self, name: str, given: dict[str, str]) -> tuple[int, str, str]:
        assert "force" in given or not self.runs(name), "what runs is deleted by force only"
        if self.runs(name):
            self.end(name)
        self.forget(name)
        return 0, "", ""

    def _resume(self, name: str) -> tuple[int, str, str]:
        (self.world.folder / f"sys/fs/cgroup/system.slice/{name}/cgroup.events").write_text("populated 1\nfrozen 0\n")
        return 0, "", ""


def bundle_host(folder: Path, runtime: str, *, selinux: str = "enforcing") -> BundleHost:
    """Makes a host with the bundle, and a container of it that runs."""
    host = BundleHost(runtime=runtime, root=f"/run/{runtime}")
    made = world(folder, selinux=selinux)
    made.host.tools.update({"podman": None})
    host.tools, host.replies = made.host.tools, made.host.replies
    host.made, made.host = made, host
    host.configure()
    host.start()
    return host


def touch_later(path: Path) -> None:
    """Gives a file a time that is certainly later than that of any other."""
    later = time.time() + 10
    os.utime(path, (later, later))
