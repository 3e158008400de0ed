# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host with one stateful unit in a folder: what systemd hears, what the journal says, what podman does."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Sequence

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
