# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host whose podman keeps state: containers run, are dumped, exported, restored and removed."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator

from ansible_collections.criu.hosts.tests.unit.containers import (
    ID,
    LABEL,
    ContainerHost,
    World,
    recorded,
)

PREFIX = "2026-11-28T10:00:"


@dataclass
class Box:
    """A container of the simulated podman."""

    id: str
    name: str
    status: str = "running"
    pid: int = 0
    checkpointed: bool = False
    auto_remove: bool = False
    restored: str = ""
    created: str = ""
    # The images since which the kernel counts changes of memory: only a dump on these has all that has changed.
    counted_since: int = 0


@dataclass
class PodmanHost(ContainerHost):
    """Answers podman's commands from the state of ``boxes``. ``fails`` holds a word of commands that fail."""

    made: World | None = None
    boxes: dict[str, Box] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)
    volumes: tuple[str, ...] = ()
    label: str = LABEL
    words: str = "Error: OCI runtime error: runc: criu failed\n"
    clock: int = 0
    # Called with the container when podman has dumped it.
    after: Callable[[Box], None] | None = None

    @property
    def world(self) -> World:
        assert self.made is not None
        return self.made

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def folder(self, box: Box) -> Path:
        storage = self.world.folder / "var/lib/containers/storage/overlay-containers"
        return storage / box.id / "userdata"

    def run_box(self, box: Box) -> None:
        """Lets a container run with new processes."""
        box.pid, box.status, box.checkpointed, box.counted_since = 5000 + self.tick(), "running", False, 0
        self.folder(box).mkdir(parents=True, exist_ok=True)
        self.world.process(box.pid, [self.label] * 4)
        (self.folder(box) / "pidfile").write_text(str(box.pid))
        self.boxes[box.name] = box

    def find(self, name: str) -> Box | None:
        return self.boxes.get(name) or next((box for box in self.boxes.values() if box.id.startswith(name)), None)

    def drop(self, box: Box) -> None:
        if box.status == "running":
            self.world.end(box.pid)
        for path in sorted(self.folder(box).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        del self.boxes[box.name]

    def run_command(self, dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        self.ran.append(args)
        if args[0] == "setsebool":
            self.wrote.append(args)
            self.world.set_boolean(args[2] == "on")
            return 0, "", ""
        if args[1:] == ["--version"] and args[0] in ("podman", "runc"):
            return 0, {"podman": "podman version 5.4.2\n", "runc": "runc version 1.1.15+ds1\n"}[args[0]], ""
        if args[0] != "podman":
            self.ran.pop()
            return super().run_command(dummy_module, args, **options)
        if "inspect" in args:
            return self._inspect(args[-1])
        self.wrote.append(args)
        name = args[-1]
        if "checkpoint" in args:
            return self._checkpoint(args, self.find(name))
        if "restore" in args:
            return self._import(args) if any(one.startswith("--import") for one in args) else self._restore(args, name)
        box = self.find(name)
        if box is not None and args[1] == "stop" and box.status == "running":
            self.world.end(box.pid)
            box.status, box.pid = "exited", 0
        elif box is not None and args[1] == "rm":
            self.drop(box)
        elif args[1] == "volume":
            (self.world.folder / f"var/lib/containers/storage/volumes/{name}").rmdir()
        return 0, "", ""

    def _inspect(self, name: str) -> tuple[int, str, str]:
        box = self.find(name)
        if box is None:
            return 125, "[]\n", recorded("inspect-no-such.txt")
        entry = json.loads(recorded("inspect-running.json"))
        first = entry[0]
        first.update(Id=box.id, Name=box.name, StaticDir=str(self.folder(box)), Created=box.created)
        first["PidFile"] = str(self.folder(box) / "pidfile")
        first["State"].update(
            Status=box.status, Pid=box.pid, Checkpointed=box.checkpointed, RestoredAt=box.restored or "0001-01-01"
        )
        first["HostConfig"]["AutoRemove"] = box.auto_remove
        first["Mounts"] = [{"Type": "volume", "Name": volume} for volume in self.volumes]
        return 0, json.dumps(entry), ""

    def _checkpoint(self, args: list[str], box: Box | None) -> tuple[int, str, str]:
        assert box is not None and box.status == "running", "podman checkpoints only what runs"
        pre, previous = "--pre-checkpoint" in args, "--with-previous" in args
        if previous:
            assert self._stamp(box) == box.counted_since != 0, "the dump would lack memory"
        if pre or previous:
            box.counted_since = 0
        images, stamp = self.folder(box) / ("pre-checkpoint" if pre else "checkpoint"), self.tick() * 10**9
        if "dump" in self.fails:
            images.mkdir(exist_ok=True)
            return 125, "", "Error: OCI runtime error: runc: criu failed\n"
        images.mkdir(exist_ok=True)
        if previous:
            (images / "parent").unlink(missing_ok=True)
            (images / "parent").symlink_to("../pre-checkpoint")
        if pre:
            box.counted_since = stamp
        (images / "inventory.img").write_bytes(b"inventory")
        os.utime(images / "inventory.img", ns=(stamp, stamp))
        (self.folder(box) / "dump.log").write_text("dumped\n")
        # What is in /dev/shm.
        (self.folder(box) / "devshm-checkpoint.tar").write_bytes(b"memory")
        export = [one.partition("=")[2] for one in args if one.startswith("--export=")]
        stays = "--leave-running" in args or pre
        if export and pre:
            assert {"--ignore-rootfs", "--ignore-volumes"} <= set(args), "a restore would unpack what is older"
        if not stays:
            self.world.end(box.pid)
            box.status, box.pid = "exited", 0
        if export and "export" in self.fails:
            Path(export[0]).write_bytes(b"half an arch")
            return 125, "", recorded("checkpoint-disk-full.txt")
        if export:
            self._export(Path(export[0]), box, "pre-checkpoint" if pre else "checkpoint")
        box.checkpointed = not stays
        if self.after is not None:
            self.after(box)
        if box.auto_remove and not stays:
            self.drop(box)
        if "late" in self.fails:
            return 125, "", "Error: cannot clean up\n"
        return 0, recorded("checkpoint-in-place.json"), ""

    def _stamp(self, box: Box) -> int:
        """Returns the stamp of the pre-checkpoint beside the container; 0 without one."""
        path = self.folder(box) / "pre-checkpoint/inventory.img"
        return path.stat().st_mtime_ns if path.exists() else 0

    def _export(self, path: Path, box: Box, images: str) -> None:
        config = {**json.loads(recorded("config.dump.json")), "id": box.id, "name": box.name}
        # No two pre-checkpoints are the same.
        content = f"{box.counted_since}".encode()
        members = {"config.dump": json.dumps(config).encode(), "spec.dump": b"{}", f"{images}/inventory.img": content}
        linked = (self.folder(box) / images / "parent").is_symlink()
        # A pipe: nothing may be sought in it.
        with open(path, "wb") as handle, tarfile.open(fileobj=handle, mode="w|") as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            if linked:
                info = tarfile.TarInfo(f"{images}/parent")
                info.type, info.linkname = tarfile.SYMTYPE, "../pre-checkpoint"
                archive.addfile(info)

    def _restore(self, args: list[str], name: str) -> tuple[int, str, str]:
        box = self.find(name)
        assert box is not None and box.status != "running", "podman restores only what is stopped"
        images = self.folder(box) / "checkpoint"
        assert (images / "inventory.img").exists()
        assert not (images / "parent").is_symlink() or self._stamp(box), "the restore would lack memory"
        if "restore" in self.fails:
            return 125, "", "Error: OCI runtime error: runc: criu failed\n"
        box.restored = f"{PREFIX}{self.tick():02}Z"
        self.run_box(box)
        if "--keep" not in args:
            for folder in (images, self.folder(box) / "pre-checkpoint"):
                shutil.rmtree(folder, ignore_errors=True)
        return 0, recorded("restore-in-place.json"), ""

    def _import(self, args: list[str]) -> tuple[int, str, str]:
        new = [one.partition("=")[2] for one in args if one.startswith("--name=")]
        name, own = (new[0], f"{self.tick():064x}") if new else ("web", ID)
        archives = {one.partition("=")[0]: one.partition("=")[2] for one in args if one.startswith("--import")}
        if "checkpoint/parent" in names_in(archives.get("--import", "")):
            assert "pre-checkpoint/inventory.img" in names_in(archives.get("--import-previous", ""))
        assert name not in self.boxes, "one container has one name"
        created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 1)) + ".123456789Z"
        box = Box(own, name, "created", created=created)
        for volume in self.volumes:
            (self.world.folder / f"var/lib/containers/storage/volumes/{volume}").mkdir(parents=True)
        if "import" in self.fails:
            self.folder(box).mkdir(parents=True, exist_ok=True)
            self.boxes[name] = box
            return 125, "", self.words
        box.restored = f"{PREFIX}{self.tick():02}Z"
        self.run_box(box)
        return 0, recorded("restore-in-place.json"), ""


def names_in(path: str) -> list[str]:
    """Returns the names in an archive that this host has made; none in a pipe, or in one that is compressed."""
    if not os.path.isfile(path) or not tarfile.is_tarfile(path):
        return []
    with tarfile.open(path) as archive:
        return archive.getnames()


def podman_host(folder: Path) -> PodmanHost:
    """Makes the host, in enforcing mode, without a container."""
    host = PodmanHost()
    made = World(folder, host)
    host.made = made
    made.selinux("enforcing", False)
    made.criu("libselinux.so.1")
    images = folder / "var/lib/containers/storage/overlay-images"
    images.mkdir(parents=True)
    known = json.loads(recorded("inspect-running.json"))[0]["Image"]
    (images / "images.json").write_text(json.dumps([{"id": known, "names": ["localhost/w:latest"]}]))
    return host


def left_over(folder: Path) -> Iterator[str]:
    """Yields what no task may leave: notes, unfinished files, the boolean."""
    for pattern in (
        "**/.*.partial",
        "**/.*.pipe",
        "**/.*.record",
        "**/.part-*",
        "var/lib/criu-hosts/begun/container-*",
    ):
        yield from (str(path.relative_to(folder)) for path in folder.glob(pattern))
    if (folder / "sys/fs/selinux/booleans/criu_container_restore").read_text() != "0 0":
        yield "the boolean"
