# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host whose Docker keeps state: containers run, are paused, dumped, started, restored and removed.

What it prints is recorded (fixtures/docker). It does what was seen of Docker 26.1.5: a container with a restart policy
is started again when it ends; a dump of a container that has outlived a restart of the daemon does not end it.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.criu.hosts.tests.unit.containers import LABEL, ContainerHost, World
from ansible_collections.criu.hosts.tests.unit.harness import Reply

FIXTURES = Path(__file__).parent / "fixtures/docker"
ROOT = "var/lib/docker"
IMAGE = "7cf5d8657e34f2ae1097442d999da19af89048b1c8f91e64ee6735f78a01d89d"
# Of a time that has not been.
NEVER = "0001-01-01T00:00:00Z"
NAME = "criu-hosts"


def recorded(name: str) -> str:
    return (FIXTURES / f"26.1.5-{name}").read_text(encoding="utf-8")


def inspected(case: str) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(recorded(f"inspect-{case}.json"))[0]
    return entry


@dataclass
class Box:
    """A container of the simulated Docker; ``policy`` is its restart policy as docker update takes it."""

    id: str
    name: str
    status: str = "created"
    pid: int = 0
    started: str = NEVER
    created: str = ""
    policy: str = "no"
    remembered: bool = True


@dataclass
class DockerHost(ContainerHost):
    """Answers docker's commands from the state of ``boxes``. ``fails`` holds a word of commands that fail.

    ``config`` is what is in the inspection beside the state: changes of the recorded one.
    """

    made: World | None = None
    boxes: dict[str, Box] = field(default_factory=dict)
    fails: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    experimental: bool = True
    requests: list[dict[str, Any]] = field(default_factory=list)
    clock: int = 0

    @property
    def world(self) -> World:
        assert self.made is not None
        return self.made

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def now(self) -> str:
        # Later than each task has begun, and each time a different one.
        base = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 1))
        return f"{base}.{self.tick():09}Z"

    def folder(self, box: Box) -> Path:
        return self.world.folder / ROOT / "containers" / box.id

    def layer(self, box: Box) -> Path:
        return self.world.folder / ROOT / "overlay2" / f"{zlib.crc32(box.id.encode()):064x}" / "diff"

    def bundle(self, box: Box) -> Path:
        return self.world.folder / "run/containerd/io.containerd.runtime.v2.task/moby" / box.id

    def add(self, name: str, policy: str = "no", **config: Any) -> Box:
        """Makes a container that runs."""
        self.config.update(config)
        box = Box(f"{len(self.boxes) + self.tick():064x}", name, policy=policy, created=self.now())
        self.make(box)
        self.start(box)
        return box

    def make(self, box: Box) -> None:
        (self.folder(box) / "checkpoints").mkdir(parents=True)
        self.layer(box).mkdir(parents=True)
        mounts = self.world.folder / ROOT / "image/overlay2/layerdb/mounts" / box.id
        mounts.mkdir(parents=True)
        (mounts / "mount-id").write_text(self.layer(box).parent.name)
        self.boxes[box.name] = box
        self.save(box)

    def save(self, box: Box) -> None:
        """Writes what Docker keeps on disk about a container."""
        state = {"Running": box.status in ("running", "paused"), "StartedAt": box.started}
        text = json.dumps({"ID": box.id, "Name": f"/{box.name}", "State": state, "ProcessLabel": LABEL})
        (self.folder(box) / "config.v2.json").write_text(text)

    def start(self, box: Box, *, restored: bool = False) -> None:
        """Lets a container run with new processes."""
        box.pid, box.status, box.started = 5000 + self.tick(), "running", self.now()
        self.world.process(box.pid, [LABEL] * 4)
        (self.world.folder / f"proc/{box.pid}/stat").write_text(f"{box.pid} (python3) S 1\n")
        (self.bundle(box) / "work").mkdir(parents=True)
        (self.bundle(box) / "init.pid").write_text(str(box.pid))
        (self.bundle(box) / "config.json").write_text(recorded("oci-config.json"))
        if restored:
            (self.bundle(box) / "work/restore.log").write_text("restored\n")
        self.save(box)

    def end(self, box: Box, *, by_hand: bool = False) -> None:
        self.world.end(box.pid)
        remove(self.bundle(box))
        box.status, box.pid = "exited", 0
        self.save(box)
        if box.policy != "no" and not by_hand:
            self.start(box)

    def find(self, name: str) -> Box | None:
        exact = self.boxes.get(name) or next((box for box in self.boxes.values() if box.id == name), None)
        return exact or next((box for box in self.boxes.values() if box.id.startswith(name)), None)

    def run_command(self, dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        if args[0] == "tar":
            return self._tar(args)
        if args[0] != "docker":
            return super().run_command(dummy_module, args, **options)
        self.ran.append(args)
        words = args[1:]
        if words[0] == "--version":
            return 0, recorded("version.txt"), ""
        if words[0] == "info":
            info = {**json.loads(recorded("info.json")), "ExperimentalBuild": self.experimental}
            info["DockerRootDir"] = "/var/lib/docker"
            return 0, json.dumps(info), ""
        if words[1] == "inspect":
            return self._inspect(words[0], words[-1])
        self.wrote.append(args)
        failing = next((text for word, text in self.fails.items() if word in " ".join(words)), None)
        if failing is not None:
            return 1, "", recorded(failing)
        if words[0] == "system":
            return self._create(options["stdin"] if "stdin" in options else options["data"])
        return self._change(words)

    def run_to_end(self, argv: Any, *, env: dict[str, str], **options: Any) -> tuple[int, str, str]:
        given = {key: value for key, value in options.items() if key == "stdin"}
        return self.run_command(None, list(argv), environ_update=env, **given)

    def _inspect(self, kind: str, name: str) -> tuple[int, str, str]:
        if kind == "image":
            return (0, recorded("image-inspect.json"), "") if name in (IMAGE, "lab/workload:1") else self._none("image")
        if kind == "network":
            return (0, recorded("network-inspect.json"), "") if name == "lan" else self._none("network")
        box = self.find(name)
        if box is None:
            return self._none("no-such", "inspect")
        entry = {**inspected("running"), **self.config}
        own = f"/{ROOT}/containers/{box.id}"
        entry.update(Id=box.id, Name=f"/{box.name}", Created=box.created, ProcessLabel=LABEL)
        entry.update(HostnamePath=f"{own}/hostname", HostsPath=f"{own}/hosts", ResolvConfPath=f"{own}/r", LogPath="")
        entry["State"] = {**entry["State"], "Status": box.status, "Pid": box.pid, "StartedAt": box.started}
        name, dummy, most = box.policy.partition(":")
        entry["HostConfig"] = {
            **entry["HostConfig"],
            "RestartPolicy": {"Name": name, "MaximumRetryCount": int(most or 0)},
        }
        entry["GraphDriver"] = {
            "Name": "overlay2",
            "Data": {"UpperDir": f"/{self.layer(box).relative_to(self.world.folder)}"},
        }
        return 0, json.dumps([entry]), ""

    def _none(self, kind: str, verb: str = "") -> tuple[int, str, str]:
        text = recorded(f"{verb}-{kind}.txt" if verb else f"{kind}-inspect-no-such.txt")
        return 1, "[]\n", text.partition("\n")[2]

    def _change(self, words: list[str]) -> tuple[int, str, str]:
        box = self.find(words[-2] if words[0] == "checkpoint" else words[-1])
        if box is None:
            return 1, "", recorded("update-no-such.txt")
        if words[0] == "update":
            box.policy = words[1].partition("=")[2]
        elif words[0] == "pause":
            assert box.status == "running"
            box.status = "paused"
        elif words[0] == "unpause":
            assert box.status == "paused"
            box.status = "running"
        elif words[0] == "kill":
            assert box.status in ("running", "paused")
            self.end(box, by_hand=True)
        elif words[0] == "stop" and box.status == "running":
            self.end(box, by_hand=True)
        elif words[0] == "rm":
            self.drop(box)
        elif words[0] == "checkpoint":
            return self._checkpoint(box, "--leave-running" in words)
        elif words[0] == "start":
            return self._start(box, words)
        return 0, f"{box.name}\n", ""

    def _checkpoint(self, box: Box, stays: bool) -> tuple[int, str, str]:
        assert box.status in ("running", "paused"), "Docker checkpoints only what runs"
        images = self.folder(box) / "checkpoints" / NAME
        if images.exists():
            return 1, "", recorded("checkpoint-exists.txt")
        images.mkdir()
        (images / "inventory.img").write_text(f"dump {self.tick()}")
        (images / "cgroup.img").write_text(f"/system.slice/docker-{box.id}.scope")
        made = time.time() // 1 + 1
        os.utime(images / "inventory.img", (made, made))
        if not stays and box.remembered:
            self.end(box)
        return 0, recorded("checkpoint.txt"), ""

    def _start(self, box: Box, words: list[str]) -> tuple[int, str, str]:
        if box.status in ("running", "paused"):
            return 0, "", ""
        if "--checkpoint" in words:
            images = self.folder(box) / "checkpoints" / words[words.index("--checkpoint") + 1]
            assert (images / "inventory.img").exists() and (images / "restore-attempt").exists()
            if "import" in self.fails:
                return 1, "", recorded("start-restore-failed.txt")
        self.start(box, restored="--checkpoint" in words)
        return 0, "", ""

    def _create(self, text: str) -> tuple[int, str, str]:
        head, dummy, body = text.partition("\r\n\r\n")
        name = head.split()[1].partition("name=")[2]
        assert f"Content-Length: {len(body)}" in head.split("\r\n")
        self.requests.append(json.loads(body))
        if name in self.boxes:
            return 0, recorded("create-name-in-use.txt"), ""
        box = Box(f"{self.tick():064x}", name, created=self.now())
        self.make(box)
        for bind in json.loads(body)["HostConfig"]["Binds"]:
            if not bind.startswith("/"):
                (self.volume(bind.partition(":")[0])).mkdir(parents=True, exist_ok=True)
        return 0, recorded("create.txt"), ""

    def volume(self, name: str) -> Path:
        return self.world.folder / ROOT / "volumes" / name / "_data"

    def drop(self, box: Box) -> None:
        if box.status in ("running", "paused"):
            self.world.end(box.pid)
            remove(self.bundle(box))
        remove(self.folder(box))
        del self.boxes[box.name]

    def _tar(self, args: list[str]) -> tuple[int, str, str]:
        """Does what tar does with the options that the tasks give it."""
        self.ran.append(args)
        self.wrote.append(args)
        value = {key: rest for key, dummy, rest in (one.partition("=") for one in args) if rest}
        if "--create" in args:
            if "pack" in self.fails and "config.dump" in args:
                return 2, "", "tar: Wrote only 4096 of 10240 bytes\n"
            pack(args, value["--file"])
            return 0, "", ""
        with tarfile.open(value["--file"]) as archive:
            wanted = Path(value["--files-from"]).read_text().split() if "--files-from" in value else None
            for member in archive:
                if wanted is None or any(f"{member.name}/".startswith(f"{one}/") for one in wanted):
                    archive.extract(member, value["--directory"])
        return 0, "", ""


def pack(args: list[str], path: str) -> None:
    """Packs as tar --create does; the file may be a pipe."""
    folder = ""
    with open(path, "wb") as handle, tarfile.open(fileobj=handle, mode="w|") as archive:
        for one in args[2:]:
            if one.startswith("--directory="):
                folder = one.partition("=")[2]
            elif not one.startswith("--"):
                archive.add(f"{folder}/{one}", "checkpoint" if one == NAME else one)


def remove(path: Path) -> None:
    for one in sorted(path.rglob("*"), reverse=True):
        one.rmdir() if one.is_dir() and not one.is_symlink() else one.unlink()
    path.rmdir()


def docker_host(folder: Path, *, selinux: str = "enforcing") -> DockerHost:
    """Makes the host, without a container."""
    host = DockerHost()
    made = World(folder, host)
    host.made = made
    if selinux != "disabled":
        made.selinux(selinux, False)
    made.criu("libselinux.so.1")
    made.script(Reply(["runc", "--version"], out="runc version 1.1.15+ds1\n"))
    (folder / ROOT / "image/overlay2").mkdir(parents=True)
    (folder / ROOT / "image/overlay2/repositories.json").write_text(
        json.dumps({"Repositories": {"lab/workload": {"lab/workload:1": f"sha256:{IMAGE}"}}})
    )
    return host


def tar_of(**members: bytes) -> bytes:
    """Returns a tar with these members."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()
