# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host whose containerd keeps state: containers run, are dumped, removed and made again from an image.

Its words are recordings of ctr 1.7.24. As this does, it restores only what is not there, from an image whose parts all
are, onto an image of the container, and it forgets labels.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import parse_message
from ansible_collections.criu.hosts.tests.unit.containers import LABEL, ContainerHost, World, world

FIXTURES = Path(__file__).parent / "fixtures/containerd"
CTR = ["ctr", "--namespace", "default"]
TASKS = "io.containerd.runtime.v2.task/default"
IMAGE = "localhost/workload:latest"
WORK = {"created": "CREATED", "running": "RUNNING", "paused": "PAUSED", "exited": "STOPPED"}


def recorded(name: str) -> str:
    return (FIXTURES / f"1.7.24-{name}").read_text(encoding="utf-8")


@dataclass
class Box:
    """A container of the simulated containerd; ``status`` is that of its task, empty if it has none."""

    name: str
    created: str
    spec: dict[str, Any]
    labels: dict[str, str] | None
    status: str = ""
    pid: int = 0
    layer: str = "no change"


@dataclass
class ContainerdHost(ContainerHost):
    """Answers the commands of ctr from the state of ``boxes``. ``fails`` holds words of commands that fail."""

    made: World | None = None
    boxes: dict[str, Box] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)
    label: str = LABEL
    clock: int = 0

    @property
    def world(self) -> World:
        assert self.made is not None
        return self.made

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def bundle(self, name: str) -> Path:
        return self.world.folder / "run/containerd" / TASKS / name

    def kept(self, name: str) -> Path:
        return self.world.folder / "var/lib/containerd" / TASKS / name

    def place(self, name: str = "web") -> Path:
        return self.world.folder / "var/lib/criu-hosts/engines/containerd/place" / name

    def add(self, name: str = "web", **changes: Any) -> Box:
        """Adds a container that runs, as it was recorded."""
        entry = json.loads(recorded("info-running.json"))
        spec = {**entry["Spec"], "mounts": [], **changes}
        spec["process"] = {**spec["process"], "selinuxLabel": self.label}
        box = Box(name, f"2026-12-01T01:00:{self.tick():02}.5Z", spec, entry["Labels"])
        self.boxes[name] = box
        self.start(box)
        return box

    def start(self, box: Box, *, restored: bool = False) -> None:
        """Lets the task of a container run with a new process."""
        box.pid, box.status = 5000 + self.tick(), "running"
        for folder in (self.bundle(box.name), self.kept(box.name)):
            folder.mkdir(parents=True, exist_ok=True)
        pid_file = self.bundle(box.name) / "init.pid"
        pid_file.write_text(str(box.pid))
        os.utime(pid_file, ns=(self.clock * 10**9, self.clock * 10**9))
        if restored:
            (self.kept(box.name) / "restore.log").write_text("restored\n")
        self.world.process(box.pid, [self.label] * 2)
        folder = self.world.folder / f"proc/{box.pid}"
        (folder / "fd").mkdir()
        for number in range(3):
            (folder / f"fd/{number}").symlink_to("/dev/null")
        (folder / "cgroup").write_text(f"0::/default/{box.name}\n")
        self.freeze(box, frozen=False)

    def freeze(self, box: Box, *, frozen: bool) -> None:
        group = self.world.folder / f"sys/fs/cgroup/default/{box.name}"
        group.mkdir(parents=True, exist_ok=True)
        (group / "cgroup.events").write_text(f"populated 1\nfrozen {int(frozen)}\n")
        box.status = "paused" if frozen else "running"

    def end(self, box: Box) -> None:
        shutil.rmtree(self.world.folder / f"proc/{box.pid}")
        box.status, box.pid = "exited", 0

    def boot(self) -> None:
        """Ends all processes, and empties /run."""
        for box in self.boxes.values():
            if box.pid:
                self.end(box)
            box.status = ""
        shutil.rmtree(self.world.folder / "run/containerd", ignore_errors=True)

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
        if args == ["/usr/bin/runc", "--version"] or args == ["runc", "--version"]:
            return 0, "runc version 1.1.15+ds1\n", ""
        if args[0] != "ctr":
            return super().run_command(dummy_module, args, **options)
        self.ran.append(args)
        if args == ["ctr", "--version"]:
            return 0, recorded("version.txt"), ""
        assert args[:3] == CTR, "the environment may name another namespace"
        words = [one for one in args[3:] if not one.startswith("--")]
        given = dict(one[2:].partition("=")[::2] for one in args[3:] if one.startswith("--"))
        act = getattr(self, f"_{words[0]}_{words[1]}")
        if words[1] not in ("ls", "info"):
            self.wrote.append(args)
            if " ".join(words[:2]) in self.fails:
                return 1, "", "ctr: it fails: unknown\n"
        return act(words[2:], given)

    def _missing(self, name: str) -> tuple[int, str, str]:
        return 1, "", recorded("info-no-such.txt").replace('"web"', f'"{name}"')

    def _containers_ls(self, dummy: list[str], given: dict[str, str]) -> tuple[int, str, str]:
        assert "quiet" in given
        return 0, "".join(f"{name}\n" for name in self.boxes), ""

    def _containers_info(self, words: list[str], dummy: dict[str, str]) -> tuple[int, str, str]:
        box = self.boxes.get(words[0])
        if box is None:
            return self._missing(words[0])
        entry = json.loads(recorded("info-running.json"))
        entry.update(ID=box.name, CreatedAt=box.created, Spec=box.spec, Labels=box.labels, SnapshotKey=box.name)
        return 0, json.dumps(entry), ""

    def _tasks_ls(self, dummy: list[str], dummy_given: dict[str, str]) -> tuple[int, str, str]:
        rows = [f"{box.name}    {box.pid or 77}    {WORK[box.status]}\n" for box in self.boxes.values() if box.status]
        return 0, recorded("tasks-none.txt") + "".join(rows), ""

    def _images_ls(self, dummy: list[str], dummy_given: dict[str, str]) -> tuple[int, str, str]:
        rows = [f"{name} type sha256:{digest} 1 KiB linux/amd64 -\n" for name, digest in self.images.items()]
        return 0, recorded("images.txt").split("\n")[0] + "\n" + "".join(rows), ""

    def _tasks_pause(self, words: list[str], dummy: dict[str, str]) -> tuple[int, str, str]:
        box = self.boxes[words[0]]
        if box.status == "paused":
            return 1, "", recorded("pause-paused.txt")
        self.freeze(box, frozen=True)
        return 0, "", ""

    def _tasks_resume(self, words: list[str], dummy: dict[str, str]) -> tuple[int, str, str]:
        assert self.boxes[words[0]].status == "paused"
        self.freeze(self.boxes[words[0]], frozen=False)
        return 0, "", ""

    def _tasks_checkpoint(self, words: list[str], given: dict[str, str]) -> tuple[int, str, str]:
        box, images = self.boxes[words[0]], Path(given["image-path"])
        assert box.status in ("running", "paused") and images.is_dir(), "only what runs is checkpointed"
        (images / "pages-1.img").write_bytes(b"memory")
        if "dump" in self.fails:
            (self.bundle(box.name) / "criu-dump.log").write_text("(00.1) Error (criu/x.c:1): Dumping FAILED.\n")
            return 1, "", recorded("checkpoint-tcp.txt")
        (images / "inventory.img").write_bytes(b"inventory")
        self.tick()
        os.utime(images / "inventory.img", ns=(self.clock * 10**9, self.clock * 10**9))
        if "exit" in given:
            self.end(box)
        return 0, "", ""

    def _snapshots_diff(self, words: list[str], given: dict[str, str]) -> tuple[int, str, str]:
        assert given["snapshotter"] == "overlayfs" and given["media-type"].endswith(".tar")
        return 0, self.boxes[words[0]].layer, ""

    def _tasks_kill(self, words: list[str], given: dict[str, str]) -> tuple[int, str, str]:
        assert given["signal"] == "SIGKILL"
        self.end(self.boxes[words[0]])
        return 0, "", ""

    def _tasks_delete(self, words: list[str], dummy: dict[str, str]) -> tuple[int, str, str]:
        box = self.boxes[words[0]]
        assert box.status in ("exited", "created"), "only a task that has ended is deleted"
        box.status = ""
        for folder in (self.bundle(box.name), self.kept(box.name)):
            shutil.rmtree(folder)
        return 0, "", ""

    def _containers_delete(self, words: list[str], dummy: dict[str, str]) -> tuple[int, str, str]:
        assert not self.boxes[words[0]].status, "only a container without a task is deleted"
        del self.boxes[words[0]]
        return 0, "", ""

    def _containers_label(self, words: list[str], dummy: dict[str, str]) -> tuple[int, str, str]:
        pairs = dict(one.partition("=")[::2] for one in words[1:])
        self.boxes[words[0]].labels = {**(self.boxes[words[0]].labels or {}), **pairs}
        return 0, recorded("label.txt"), ""

    def _images_import(self, words: list[str], given: dict[str, str]) -> tuple[int, str, str]:
        assert "no-unpack" in given
        with tarfile.open(words[0]) as archive:
            for member in archive:
                data = archive.extractfile(member).read() if member.isfile() else b""
                self.parts[hashlib.sha256(data).hexdigest()] = data
                if member.name == "index.json":
                    self.images[given["index-name"]] = hashlib.sha256(data).hexdigest()
        return 0, "", ""

    def _images_delete(self, words: list[str], given: dict[str, str]) -> tuple[int, str, str]:
        assert "sync" in given
        self.images.pop(words[0], None)
        return 0, f"{words[0]}\n", ""

    def _containers_restore(self, words: list[str], given: dict[str, str]) -> tuple[int, str, str]:
        name, image = words
        assert {"live", "rw"} <= set(given) and image in self.images, "ctr would ask a registry for it"
        if name in self.boxes:
            return 1, "", recorded("restore-exists.txt")
        index = json.loads(self.parts[self.images[image]])
        if index["annotations"]["org.opencontainers.image.ref.name"] not in self.images:
            return 1, "", recorded("restore-no-image.txt")
        parts = {one["mediaType"]: self.parts[one["digest"].partition(":")[2]] for one in index["manifests"]}
        spec = next(data for kind, data in parts.items() if kind.endswith("config.v1+proto"))
        layer = next(data for kind, data in parts.items() if kind.endswith("tar+gzip"))
        box = Box(
            name,
            f"2026-12-01T02:00:{self.tick():02}Z",
            json.loads(bytes(parse_message(spec)[2][0])),
            None,
            status="created",
            layer=layer.decode(),
        )
        self.boxes[name] = box
        for folder in (self.bundle(name), self.kept(name)):
            folder.mkdir(parents=True)
        links = next(data for kind, data in parts.items() if kind.endswith("criu.tar"))
        with tarfile.open(fileobj=io.BytesIO(links)) as archive:
            found = {member.name: Path(os.path.normpath(f"/tmp/{member.linkname}")) for member in archive}
        assert found["inventory.img"].read_bytes() == b"inventory" and found["pages-1.img"].read_bytes() == b"memory"
        if "restore" in self.fails:
            (self.kept(name) / "restore.log").write_text("(00.1) Error (criu/x.c:1): Restoring FAILED.\n")
            return 1, "", recorded("restore-criu-failed.txt")
        self.start(box, restored=True)
        return 0, "", ""


def containerd_host(folder: Path, *, selinux: str = "enforcing") -> ContainerdHost:
    """Makes the host with a container that runs."""
    host = ContainerdHost()
    made = world(folder, selinux=selinux)
    host.tools, host.replies = {**made.host.tools, "podman": None, "runc": "/usr/bin/runc"}, made.host.replies
    host.made, made.host = made, host
    host.images[IMAGE] = "2cf90d62f65d62e2e4e9a106f79fa071711aa0f945b6ccb894f7a3b248a1c5e5"
    host.add()
    return host
