# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host with one stateful unit in a folder: what systemd hears, what the journal says, what podman does."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import last_path
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import Last, render_last
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.unit import Unit
from ansible_collections.criu.hosts.tests.unit.containers import ID, INSPECT, LABEL, OFF, ON, World, recorded, world
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Reply

CREATE = ["podman", "create", "--name=web", "localhost/w"]
START = ["podman", "start", "web"]
STOP = ["podman", "stop", "--ignore", "--time=3", "web"]
RESTORE = ["podman", "container", "restore", "--print-stats", "--keep", "web"]
SPEC: dict[str, Any] = {
    "version": 1,
    "name": "web",
    "create": CREATE,
    "digest": "d1",
    "stop_timeout": 3,
    "image": "localhost/w",
}
IMAGES = Path(__file__).parent / "fixtures/criu/4.2.1-images"


class Machine:
    """A host with the unit web: what systemd hears, what the journal says, and the program's calls."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.folder = folder
        self.world: World = world(folder)
        self.said: list[tuple[str, str]] = []
        self.allowed: list[int] = []
        self.spec = {**SPEC, "conmon_pid_file": str(folder / "web.pid"), **spec}
        self.file.parent.mkdir(parents=True)
        self.file.write_text(json.dumps(self.spec))

    @property
    def file(self) -> Path:
        """The description of the unit."""
        return self.folder / "etc/criu-hosts/units/web.json"

    @property
    def ctx(self) -> Context:
        return Context({}, self, False, PLACE.paths, PLACE.uid or 0)

    def inspected(self, case: str, digest: str = "d1", **changes: Any) -> str:
        entry = json.loads(self.world.inspected(case))
        entry[0]["Config"]["Labels"] = {"criu.hosts.digest": digest}
        entry[0]["State"].update(changes)
        return json.dumps(entry)

    def knows(self, before: str, after: str = "", **changes: Any) -> None:
        text = self.inspected(before, **changes) if before else ""
        none = recorded("inspect-no-such.txt")
        self.world.script(
            Reply(INSPECT, out=text, state="before") if before else Reply(INSPECT, err=none, rc=125, state="before"),
            Reply(INSPECT, out=self.inspected(after or "running"), state="after"),
        )

    def script(self, *replies: Any) -> None:
        self.world.script(*replies)

    def run(self, argv: Sequence[str], **dummy_options: Any) -> Completed:
        rc, out, err = self.world.host.run_command(None, list(argv))
        return Completed(tuple(argv), rc, out, err)

    def which(self, name: str) -> str | None:
        return self.world.host.get_bin_path(None, name)

    def unit(self) -> Unit:
        return Unit(
            "web",
            self.ctx,
            engine_for("podman", self.ctx),
            lambda seconds, doing: self.allowed.append(seconds),
            lambda priority, text: self.said.append((priority, text)),
        )

    def checkpointed(self, **changes: Any) -> None:
        """A checkpoint that the unit made before the host was booted: podman has forgotten it."""
        images = self.world.userdata / "checkpoint"
        self.world.dump()
        for name in ("inventory.img", "pstree.img"):
            shutil.copy(IMAGES / name, images / name)
        os.utime(images / "inventory.img", ns=(1_000_000_000, 1_000_000_000))
        record = Record(
            "podman", ID, "web", "localhost/w", "8177", "runc", LABEL, stamp="1000000000", selinux="enforcing"
        )
        place = self.folder / f"var/lib/criu-hosts/checkpoints/{ID}.json"
        place.parent.mkdir(parents=True)
        place.write_text(render_record(record))
        self.remember(Last("dumped", 1.0, id=ID, stamp="1000000000", **changes))

    def remember(self, last: Last) -> None:
        path = Path(last_path(PLACE.paths, "web"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_last(last))

    @property
    def wrote(self) -> list[list[str]]:
        return [argv for argv in self.world.host.wrote if argv not in (ON, OFF)]


class Killed(BaseException):
    """Stands for kill -9 of the program: no clean-up runs after it."""


class Simulated(Machine):
    """A machine whose podman has a state of its own. ``memory`` is what the container knows; images hold a copy.

    ``fails`` are verbs that fail, ``during`` what happens once in the middle of one, ``happened`` the verbs that were
    carried out.
    """

    def __init__(self, folder: Path, **spec: Any) -> None:
        super().__init__(folder, **{"create": ["podman", "create", "--name=web", "localhost/w"], **spec})
        self.memory: str | None = None
        self.exists, self.checkpointed_flag, self.label = True, False, LABEL
        # Another status of the container with processes; the health check of the container, as podman shows it.
        self.status = "running"
        self.health: dict[str, Any] | None = None
        # Output of reading commands that no recording has.
        self.answers: dict[tuple[str, ...], str] = {}
        self.fails: dict[str, str] = {}
        self.during: dict[str, Callable[[], object]] = {}
        self.happened: list[str] = []
        self.stamp = 1_000_000_000
        self.pid = int(json.loads(recorded("inspect-running.json"))[0]["State"]["Pid"])
        Path(PLACE.paths.below("/run")).mkdir(exist_ok=True)

    @property
    def images(self) -> Path:
        return self.world.userdata / "checkpoint"

    @property
    def running(self) -> bool:
        return self.memory is not None

    @property
    def aside(self) -> Path:
        return self.folder / "var/lib/criu-hosts/aside/web"

    @property
    def kept(self) -> set[str]:
        """What the container knew in each checkpoint that exists anywhere."""
        found = [*self.world.userdata.glob("checkpoint*/pages"), *self.aside.glob("*/checkpoint*/pages")]
        return {path.read_text() for path in found}

    def live(self, memory: str) -> None:
        """Lets the container run, with conmon."""
        self.memory, self.checkpointed_flag, self.exists = memory, False, True
        self.world.process(self.pid, [self.label] * 4)
        (self.folder / "proc/77").mkdir(exist_ok=True)
        Path(self.spec["conmon_pid_file"]).write_text("77\n")

    def die(self) -> None:
        """Ends the container and its conmon."""
        if self.running:
            self.world.end(self.pid)
            self.world.pid_file.unlink()
        self.memory = None
        shutil.rmtree(self.folder / "proc/77", ignore_errors=True)

    def save(self, memory: str) -> None:
        """Writes images."""
        self.stamp += 1_000_000_000
        self.world.dump(self.stamp)
        for name in ("inventory.img", "pstree.img"):
            shutil.copy(IMAGES / name, self.images / name)
        (self.images / "pages").write_text(memory)
        os.utime(self.images / "inventory.img", ns=(self.stamp, self.stamp))

    def boot(self) -> None:
        """Loses power and boots: nothing runs, and podman forgets that it has made a checkpoint."""
        self.die()
        self.checkpointed_flag = False
        shutil.rmtree(self.folder / "run/criu-hosts", ignore_errors=True)
        Path(self.spec["conmon_pid_file"]).unlink(missing_ok=True)

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if argv[0] == "cp":
            for path in argv[3:-1]:
                copy = shutil.copytree if os.path.isdir(path) else shutil.copy2
                copy(path, Path(argv[-1]) / os.path.basename(path))
            return Completed(tuple(argv), 1 if "cp" in self.fails else 0, "", self.fails.get("cp", ""))
        if tuple(argv) in self.answers:
            return Completed(tuple(argv), 0, self.answers[tuple(argv)], "")
        if argv[0] != "podman":
            return Completed(tuple(argv), 0, "", "") if argv[0] == "sync" else super().run(argv, **options)
        verb = argv[2] if argv[1] == "container" else argv[1]
        if verb == "inspect":
            return self._inspect(argv)
        self.happened.append(verb)
        if verb in self.during:
            self.during.pop(verb)()
        if verb in self.fails:
            return Completed(tuple(argv), 125, "", self.fails[verb])
        out = getattr(self, f"_{verb}")(argv) or ""
        return Completed(tuple(argv), 0, out, "")

    def _inspect(self, argv: Sequence[str]) -> Completed:
        if not self.exists:
            return Completed(tuple(argv), 125, "", recorded("inspect-no-such.txt"))
        case = "running" if self.running else "checkpointed" if self.checkpointed_flag else "after-disk-full"
        changes = {"Status": self.status} if self.running else {}
        entry = json.loads(self.inspected(case, digest=self.spec["digest"], **changes))
        entry[0]["Config"]["Healthcheck"] = self.health
        return Completed(tuple(argv), 0, json.dumps(entry), "")

    def _unpause(self, dummy: Sequence[str]) -> None:
        assert self.running and self.status == "paused", "podman unpauses only what is paused"
        self.status = "running"

    def _update(self, dummy: Sequence[str]) -> None:
        assert self.running and self.health is not None

    def _checkpoint(self, dummy: Sequence[str]) -> str:
        assert self.memory is not None, "podman refuses to checkpoint a container that does not run"
        assert self.status == "running", "and one that is paused"
        self.save(self.memory)
        self.die()
        self.checkpointed_flag = True
        return recorded("checkpoint-in-place.json")

    def _restore(self, dummy: Sequence[str]) -> str:
        assert not self.running, "podman refuses a second copy"
        self.live((self.images / "pages").read_text())
        return recorded("restore-in-place.json")

    def _start(self, dummy: Sequence[str]) -> None:
        assert self.exists and not self.running
        self.live("fresh")

    def _create(self, dummy: Sequence[str]) -> None:
        assert not self.exists
        self.exists = True

    def _stop(self, dummy: Sequence[str]) -> None:
        assert self.status != "paused", "podman refuses to stop what is paused"
        self.die()

    def _rm(self, dummy: Sequence[str]) -> None:
        self.die()
        self.exists = False
        shutil.rmtree(self.world.userdata)
        self.world.userdata.mkdir()
