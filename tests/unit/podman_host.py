# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host whose podman keeps state: containers run, are dumped, exported, restored and removed."""

from __future__ import annotations

import io
import json
import os
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
        box.pid, box.status, box.checkpointed = 5000 + self.tick(), "running", False
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
            path.rmdir() if path.is_dir() else path.unlink()
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
        if "dump" in self.fails:
            return 125, "", "Error: OCI runtime error: runc: criu failed\n"
        images, stamp = self.folder(box) / "checkpoint", self.tick() * 10**9
        images.mkdir(exist_ok=True)
        (images / "inventory.img").write_bytes(b"inventory")
        os.utime(images / "inventory.img", ns=(stamp, stamp))
        (self.folder(box) / "dump.log").write_text("dumped\n")
        export = [one.partition("=")[2] for one in args if one.startswith("--export=")]
        stays = "--leave-running" in args
        if not stays:
            self.world.end(box.pid)
            box.status, box.pid = "exited", 0
        if export and "export" in self.fails:
            Path(export[0]).write_bytes(b"half an arch")
            return 125, "", recorded("checkpoint-disk-full.txt")
        if export:
            self._export(Path(export[0]), box)
        box.checkpointed = not stays
        if self.after is not None:
            self.after(box)
        if box.auto_remove and not stays:
            self.drop(box)
        if "late" in self.fails:
            return 125, "", "Error: cannot clean up\n"
        return 0, recorded("checkpoint-in-place.json"), ""

    def _export(self, path: Path, box: Box) -> None:
        config = {**json.loads(recorded("config.dump.json")), "id": box.id, "name": box.name}
        members = {"config.dump": json.dumps(config).encode(), "spec.dump": b"{}", "checkpoint/inventory.img": b"i"}
        # A pipe: nothing may be sought in it.
        with open(path, "wb") as handle, tarfile.open(fileobj=handle, mode="w|") as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))

    def _restore(self, args: list[str], name: str) -> tuple[int, str, str]:
        box = self.find(name)
        assert box is not None and box.status != "running", "podman restores only what is stopped"
        assert (self.folder(box) / "checkpoint/inventory.img").exists()
        if "restore" in self.fails:
            return 125, "", "Error: OCI runtime error: runc: criu failed\n"
        box.restored = f"{PREFIX}{self.tick():02}Z"
        self.run_box(box)
        if "--keep" not in args:
            (self.folder(box) / "checkpoint/inventory.img").unlink()
            (self.folder(box) / "checkpoint").rmdir()
        return 0, recorded("restore-in-place.json"), ""

    def _import(self, args: list[str]) -> tuple[int, str, str]:
        new = [one.partition("=")[2] for one in args if one.startswith("--name=")]
        name, own = (new[0], f"{self.tick():064x}") if new else ("web", ID)
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
