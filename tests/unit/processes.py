# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host with one plain process in a folder: /proc, SELinux, criu, systemd, and its images of CRIU 4.2.1."""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_files import read_saved_files
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._process.stored import manifest_text
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import pid_file_path
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.tests.unit.containers import World, world
from ansible_collections.criu.hosts.tests.unit.harness import Reply, Write

IMAGES = Path(__file__).parent / "fixtures/criu/4.2.1-images"
# The recorded process, its threads and its label.
PID = 1463
TIDS = (1463, 1465, 1466, 1467)
LABEL = "system_u:system_r:initrc_t:s0"
BOOT = "0d5f1c9e-4b3a-4c58-9d53-5f7f6b1e7a11"
SHOW = ["systemctl", "show", "--property=LoadState,ActiveState,MainPID,ControlGroup,FragmentPath"]
TRIGGERS = ["systemctl", "show", "--property=TriggeredBy", "web.service"]
LEND = ["setsebool", "unconfined_dyntrans_all", "on"]
RETURN = ["setsebool", "unconfined_dyntrans_all", "off"]
RELOAD = ["systemctl", "daemon-reload"]
# Where the images of a checkpoint in a store are made.
WORKING = "store/processes/web/.part-new/images"


@dataclass
class ProcessWorld:
    """The folder that represents the host, with the files that plain processes need."""

    base: World
    place: str = "data/web"

    def __post_init__(self) -> None:
        boot = self.folder / "proc/sys/kernel/random"
        boot.mkdir(parents=True)
        (boot / "boot_id").write_text(f"{BOOT}\n")
        (self.folder / "proc/self/attr").mkdir(parents=True)
        (self.folder / "proc/self/attr/current").write_text(f"{LABEL}\0")
        (self.folder / "data").mkdir(mode=0o700)

    @property
    def folder(self) -> Path:
        return self.base.folder

    @property
    def images(self) -> Path:
        return self.folder / self.place

    @property
    def criu(self) -> str:
        return str(self.folder / "criu")

    @property
    def work(self) -> Path:
        return self.images.parent / f".{self.images.name}.criu"

    def process(self, pid: int = PID, start: int = 8421, label: str = LABEL, comm: str = "python3") -> None:
        """Adds a process with the recorded threads; a different pid has one thread."""
        base = self.folder / f"proc/{pid}"
        tids = TIDS if pid == PID else (pid,)
        base.mkdir(parents=True)
        (base / "stat").write_text(f"{pid} ({comm}) S 1 {pid} {pid} 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0\n")
        (base / "status").write_text(f"Name:\t{comm}\nTgid:\t{pid}\nNSpid:\t{pid}\n")
        (base / "comm").write_text(f"{comm}\n")
        (base / "cgroup").write_text("0::/system.slice/web.service\n")
        (base / "exe").symlink_to("/usr/bin/python3")
        for tid in tids:
            task = base / f"task/{tid}"
            (task / "attr").mkdir(parents=True)
            (task / "status").write_text(f"Name:\t{comm}\nNSpid:\t{tid}\n")
            (task / "attr/current").write_text(f"{label}\0")
            (task / "comm").write_text(f"{comm}\n")
            (task / "children").write_text("")

    def end(self, pid: int = PID) -> None:
        shutil.rmtree(self.folder / f"proc/{pid}")

    def dumped(self, folder: Path | None = None, *, pre: bool = False, **changes: Any) -> Path:
        """Puts the recorded images into ``folder``, with our record unless ``record=False``."""
        folder = folder or self.images
        folder.mkdir(mode=0o700)
        for path in IMAGES.iterdir():
            if not path.name.startswith("stats-") and not (pre and path.name != "inventory.img"):
                shutil.copyfile(path, folder / path.name)
        if changes.pop("record", True):
            (folder / RECORD).write_text(render_record(self.record(pre_dump=pre, **changes)))
        return folder

    def _put(self, identity: str, *, pre: bool, parent: str = "") -> str:
        """Puts the recorded images into the store as a checkpoint that an earlier task has made; returns its id."""
        place = self.folder / f"store/processes/web/{identity}"
        for path in (*reversed(place.parents), place):
            if path.is_relative_to(self.folder) and not path.exists():
                path.mkdir(mode=0o700)
        above = {"parent": str(place.parent / parent / "images"), "parent_inventory": self.record().inventory}
        images = self.dumped(place / "images", pre=pre, **(above if parent else {}))
        for path in images.iterdir():
            path.chmod(0o600)
        draft = Manifest(identity, "process", "web", "2026-11-01T00:00:00Z", (), {}, parent=parent)
        (place / "manifest.json").write_text(manifest_text(draft, str(images)))
        (place / "manifest.json").chmod(0o600)
        return identity

    def put_pre_dump(self) -> str:
        return self._put("20261101T000000Z-1a2b3c4d", pre=True)

    def put_dump(self, parent: str) -> str:
        """Puts a dump on a pre-dump into the store; its link is missing, as after a copy of regular files."""
        return self._put("20261102T000000Z-1a2b3c4d", pre=False, parent=parent)

    def hold(self, kind: str) -> None:
        """Adds images of a process that holds something: job, job-with-terminal, both-ends or locks."""
        for path in (IMAGES.parent / f"4.2.1-{kind}-images").iterdir():
            if path.name != "pstree.img":
                shutil.copyfile(path, self.images / path.name)
        self.keep_files()

    def keep_files(self) -> None:
        """Makes the files that the images name, as they were at the checkpoint."""
        if not (self.images / "files.img").exists():
            return
        for saved in read_saved_files(str(self.images)):
            path = self.folder / saved.name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if stat.S_ISREG(saved.mode):
                with path.open("wb") as file:
                    file.truncate(saved.size or 0)
            elif stat.S_ISDIR(saved.mode):
                path.mkdir(exist_ok=True)
            if path.exists():
                path.chmod(stat.S_IMODE(saved.mode))

    def opened(self, pid: int, number: int, what: str, flags: str = "02") -> None:
        """Adds an open file to a process."""
        base = self.folder / f"proc/{pid}"
        (base / "fd").mkdir(exist_ok=True)
        (base / "fdinfo").mkdir(exist_ok=True)
        (base / f"fd/{number}").symlink_to(what)
        (base / f"fdinfo/{number}").write_text(f"pos:\t0\nflags:\t{flags}\nmnt_id:\t15\n")

    def record(self, **changes: Any) -> ProcessRecord:
        known: dict[str, Any] = {
            "pid": PID,
            "start": "8421",
            "boot": BOOT,
            "comm": "python3",
            "exe": "/usr/bin/python3",
            "cgroup": "/system.slice/web.service",
            "inventory": "66fbf83cbffe550df8528f871f5208f9db83bb8b3cf41740b325b2b52fe86bb6",
            "checkpointed_at": "2026-11-23T03:17:47Z",
        }
        return ProcessRecord(**{**known, **changes})

    def flags(self, images: Path, log: str, *options: str) -> list[str]:
        return ["--images-dir", str(images), "--work-dir", str(self.work), "--log-file", log, "-v4", *options]

    def dump(self, *options: str, pre: bool = False, tail: tuple[str, ...] = (), **write: Any) -> Write:
        """Simulates criu dump (or pre-dump) of the process."""
        action = ["pre-dump" if pre else "dump", "--tree", str(PID)]
        partial = self.images.parent / f".{self.images.name}.partial"
        argv = [self.criu, *action, *self.flags(partial, "dump.log", *options), *tail]

        def effect() -> None:
            for path in IMAGES.iterdir():
                if not path.name.startswith("stats-") and not (pre and path.name != "inventory.img"):
                    shutil.copyfile(path, partial / path.name)
            if "--prev-images-dir" in tail:
                # As open_image_dir in criu/image.c does.
                parent = tail[tail.index("--prev-images-dir") + 1]
                assert (partial / parent).is_dir(), "Invalid parent image directory provided"
                (partial / "parent").symlink_to(parent)
            shutil.copyfile(IMAGES / "stats-dump", self.work / "stats-dump")
            if not pre and "--leave-running" not in tail:
                self.end()

        return Write(argv, **{"effect": effect, "turns": True, **write})

    def restore_argv(self, *options: str, cgroups: str = "ignore", tail: tuple[str, ...] = ()) -> list[str]:
        pid_file = self.pid_file
        end = ["--restore-detached", "--pidfile", str(pid_file), f"--manage-cgroups={cgroups}"]
        return [self.criu, "restore", *self.flags(self.images, "restore.log", *options), *end, *tail]

    @property
    def pid_file(self) -> Path:
        return Path(pid_file_path(self.base.paths, str(self.images)))

    def come_back(self, label: str = LABEL) -> None:
        """Creates the files that CRIU leaves after a restore."""
        self.process(start=9000, label=label)
        self.pid_file.write_text(f"{PID}\n")
        shutil.copyfile(IMAGES / "stats-restore", self.work / "stats-restore")

    def restores(self, label: str = LABEL, **argv: Any) -> Write:
        return Write(self.restore_argv(**argv), effect=lambda: self.come_back(label), turns=True)

    def unit(self, *, active: bool, known: bool = True, state: str = "any", name: str = "web.service") -> Reply:
        """Returns the output of systemctl show for a service."""
        text = (
            f"MainPID={PID if active else 0}\n"
            f"ControlGroup={'/system.slice/web.service' if active else ''}\n"
            f"LoadState={'loaded' if known else 'not-found'}\n"
            f"ActiveState={'active' if active else 'inactive'}\n"
            f"FragmentPath={'/etc/systemd/system/web.service' if known else ''}\n"
        )
        return Reply([*SHOW, name], out=text, state=state)

    def boolean(self, value: bool) -> None:
        (self.folder / "sys/fs/selinux/booleans/unconfined_dyntrans_all").write_text("1 1" if value else "0 0")

    def content(self) -> list[str]:
        """Returns the names of all files and folders but those of locks, which even a task that refuses takes."""
        names = (str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))
        return sorted(name for name in names if name != "run" and not name.startswith("run/criu-hosts"))

    def note(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.work / "restored.json").read_text())
        return found


def process_world(folder: Path, *, selinux: str = "enforcing", policy: bool = True) -> ProcessWorld:
    """Makes a host with a CRIU that is linked with libselinux, and with our policy."""
    made = ProcessWorld(world(folder, selinux=selinux))
    if selinux != "disabled" and policy:
        made.boolean(False)
        made.base.script(
            Write(LEND, effect=lambda: made.boolean(True)), Write(RETURN, effect=lambda: made.boolean(False))
        )
    made.base.script(Write(RELOAD), Reply(TRIGGERS, out="TriggeredBy=\n"))
    return made


def applied_plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Records the plans that the module applies from here on, or in check mode would apply."""
    plans: list[Plan] = []
    apply = Context.apply

    def remember(ctx: Context, plan: Plan) -> Any:
        plans.append(plan)
        return apply(ctx, plan)

    monkeypatch.setattr(Context, "apply", remember)
    return plans
