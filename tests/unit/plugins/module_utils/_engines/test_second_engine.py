# SPDX-License-Identifier: GPL-3.0-or-later
"""A small engine beside podman shows that the protocol is enough: no file outside of it knows how it works.

It resembles engines that have a folder of checkpoints and start a container from one: a dump is two commands, a restore
is one that names the folder, an export is a dump and tar. It cannot restore under another name.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable, Mapping

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Step
from ansible_collections.criu.hosts.plugins.module_utils._engines import registry
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import (
    Abilities,
    Bind,
    Container,
    Health,
    ImageInfo,
    Options,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec
from ansible_collections.criu.hosts.plugins.modules import container_checkpoint, container_restore
from ansible_collections.criu.hosts.tests.unit.containers import OFF, ON, World, world
from ansible_collections.criu.hosts.tests.unit.harness import ModuleRun, Reply, Write

Run = Callable[..., ModuleRun]
LABEL = "system_u:system_r:container_t:s0:c1,c2"
SHOW = ["box", "show", "web"]


def name_of(target: Container | str) -> str:
    return target if isinstance(target, str) else target.name


class Box:
    """The engine box."""

    name = "box"
    minimum_criu = (3, 15)
    abilities = Abilities(in_place=True, archive=True, leave_running=True)
    list_command = "box list"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def image_command(self, name: str) -> str:
        return f"box send {name}"

    def require_networks(self, ctx: Context, networks: Mapping[str, Any], what: str, *, mine: str) -> None:
        pass

    def published(self, options: Options) -> tuple[dict[str, Any], ...]:
        return ()

    def naming_command(self, image_id: str, name: str) -> str:
        return ""

    def version(self, ctx: Context) -> str:
        return "1.0"

    def require_caller(self, what: str) -> None:
        pass

    def require_options(self, ctx: Context, options: Options, what: str, *, archive: bool) -> None:
        pass

    def explain_absence(self, name: str, what: str) -> None:
        pass

    def inspect(self, ctx: Context, name: str) -> Container | None:
        completed = ctx.runner.run(("box", "show", name))
        if completed.rc:
            return None
        entry = json.loads(completed.out)
        found = Container(
            entry["id"], name, entry["status"], entry["pid"], "image", "", "", LABEL, started_at=entry["started"]
        )
        stopped = found.status == "stopped" and bool(self.stamp(found))
        return Container(**{**found.__dict__, "checkpointed": stopped, "stamp": self.stamp(found)})

    def manager(self, container: Container) -> str:
        return ""

    def binds(self, container: Container) -> tuple[Bind, ...]:
        return ()

    def losses(self, container: Container, archive_path: str | None) -> tuple[str, ...]:
        return ("box loses the terminal.",)

    def require_ties(self, ctx: Context, container: Container) -> None:
        pass

    def storage_warnings(self, selinux_enabled: bool) -> tuple[str, ...]:
        return ()

    def checkpoint_steps(self, container: Container, options: Options, export: str | None) -> tuple[Step, ...]:
        folder = self.images_dir(container)
        stay = ("--stay",) if options.leave_running else ()
        dump = Command(("box", "dump", *stay, container.name, folder), why="dump", label="checkpoint")
        if export is None:
            return (MakeDir(folder, why="make the folder"), dump)
        pack = Command(("tar", "-C", folder, "-cf", export, "."), why="pack", creates_partial=export)
        return (MakeDir(folder, why="make the folder"), dump, pack)

    def restore_steps(self, container: Container, options: Options) -> tuple[Step, ...]:
        argv = ("box", "start", "--from", self.images_dir(container), container.name)
        return (Command(argv, why="restore", label="restore"),)

    def import_steps(
        self, archive: str, runtime: str, new_name: str | None, options: Options, previous: str = ""
    ) -> tuple[Step, ...]:
        assert not previous, "it has no pre-checkpoints"
        return (
            Command(("box", "load", archive), why="load the archive"),
            Command(("box", "start", "--from", "loaded", "web"), why="restore", label="restore"),
        )

    def profile(self, container: Container) -> str:
        return ""

    def profile_steps(self, name: str, image_id: str, runtime: str, profile: str) -> tuple[Step, ...]:
        return ()

    def leftover_steps(self, container_id: str, runtime: str, alive: Callable[[], bool]) -> tuple[Command, ...]:
        return ()

    def thaw_steps(self, container: Container) -> tuple[Step, ...]:
        return (Command(("box", "thaw", container.name), why="thaw"),)

    def address(self, ctx: Context, name: str) -> str:
        return name

    def start_steps(self, target: Container | str) -> tuple[Step, ...]:
        return (Command(("box", "start", name_of(target)), why="start"),)

    def unpause_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        return (Command(("box", "resume", name_of(target)), why=why),)

    def unpause_command(self, name: str) -> str:
        return f"box resume {name}"

    def health_steps(self, ctx: Context, name: str, container_id: str, health: Health) -> tuple[Step, ...]:
        return ()

    def stop_steps(self, target: Container | str, why: str, seconds: int = 0) -> tuple[Step, ...]:
        return (Command(("box", "stop", name_of(target)), why=why),)

    def remove_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        return (Command(("box", "destroy", name_of(target)), why=why),)

    def remove_volume_steps(self, name: str, why: str) -> tuple[Step, ...]:
        return (Command(("box", "volume", "destroy", name), why=why),)

    def leftovers(self, container: Container, options: Options) -> tuple[str, ...]:
        return () if options.keep else self.checkpoint_files(container)

    def changed_files(self, container: Container, archive: str) -> tuple[str, ...]:
        return ()

    def checkpoint_files(self, container: Container) -> tuple[str, ...]:
        return (self.images_dir(container),)

    def images_dir(self, container: Container) -> str:
        return str(self.folder / "box" / container.id)

    def pre_dump_dir(self, container: Container) -> str:
        return str(self.folder / "box" / f"{container.id}-pre")

    def pre_dump_stamp(self, container: Container) -> str:
        return ""

    def check_previous(self, archive: str) -> None:
        raise ValueError("it has no pre-checkpoints")

    def outdated_records(self, container: Container) -> tuple[str, ...]:
        return ()

    def stamp(self, container: Container) -> str:
        path = f"{self.images_dir(container)}/inventory.img"
        return str(os.stat(path).st_mtime_ns) if os.path.exists(path) else ""

    def live_pid(self, container: Container) -> int:
        return 0

    def cgroups(self, container: Container) -> tuple[str, ...]:
        return ()

    def log_path(self, container: Container, action: str) -> str:
        return f"{self.images_dir(container)}/{action}.log"

    def parse_statistics(self, text: str) -> dict[str, Any]:
        return {"engine_microseconds": int(text)} if text else {}

    def owns(self, completed: Completed) -> bool:
        return completed.argv[0] == "box"

    def cause(self, completed: Completed) -> Cause:
        return Cause("box cannot do it", "Ask box.", reason="tool_failed")

    def spec(self, source: Container | str) -> Spec | None:
        return Spec(images=("image",))

    def describe_archive(self, path: str) -> Record:
        return Record("box", "", "web", "image", "", "", LABEL)

    def runtimes(self) -> dict[str, tuple[str, ...]]:
        return {}

    def has_image(self, ctx: Context, image_id: str) -> bool:
        return True

    def has_volume(self, name: str) -> bool:
        return False

    def holder(self, container_id: str) -> str:
        return ""

    def sharing(self, process_label: str) -> tuple[str, ...]:
        return ()

    def ask(self, ctx: Context, argv: tuple[str, ...]) -> Completed:
        return ctx.runner.run(argv)

    def exec_argv(self, name: str, user: str, argv: tuple[str, ...], *, stdin: bool = False) -> tuple[str, ...]:
        return ("box", "run", name, *argv)

    def find_image(self, ctx: Context, name: str) -> ImageInfo | None:
        return None


def shown(status: str, pid: int = 0, started: str = "now") -> str:
    return json.dumps({"id": "b0", "status": status, "pid": pid, "started": started})


@pytest.fixture(name="made")
def made_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    engine: Engine = Box(tmp_path)
    monkeypatch.setitem(registry.ENGINES, "box", lambda dummy_paths, dummy_uid: engine)
    for one in (container_checkpoint, container_restore):
        monkeypatch.setitem(one.SPEC["engine"], "choices", ["podman", "box"])
    return world(tmp_path)


def dump(made: World, *flags: str) -> Write:
    folder = made.folder / "box/b0"

    def effect() -> None:
        (folder / "inventory.img").write_bytes(b"inventory")

    return Write(["box", "dump", *flags, "web", str(folder)], out="7", turns=not flags, effect=effect)


def test_checkpoint_in_place_and_restore(module: Run, made: World) -> None:
    made.process(70, [LABEL] * 3)
    made.script(Reply(SHOW, out=shown("running", 70), state="before"), Reply(SHOW, out=shown("stopped"), state="after"))
    made.script(dump(made))
    params = {"name": "web", "engine": "box"}
    checked = module("container_checkpoint", params, host=made.host, check=True)
    run = module("container_checkpoint", params, host=made.host)
    assert not run.failed, run.result
    assert run.result["commands"] == checked.result["commands"] == [["box", "dump", "web", str(made.folder / "box/b0")]]
    assert run.result["statistics"] == {"engine_microseconds": 7}
    assert "box loses the terminal." in str(run.result["warnings"])
    assert module("container_checkpoint", params, host=made.host).result["changed"] is False

    made.end(70)
    start = ["box", "start", "--from", str(made.folder / "box/b0"), "web"]
    made.host.replies = [
        Reply(SHOW, out=shown("stopped"), state="after"),
        Reply(SHOW, out=shown("running", 71), state="before"),
        *[one for one in made.host.replies if list(one.argv) != SHOW],
    ]

    def come_back() -> None:
        made.process(71, [LABEL] * 3)
        made.host.state = "before"

    made.script(Write(start, out="9", effect=come_back))
    restored = module("container_restore", params, host=made.host)
    assert not restored.failed, restored.result
    assert restored.result["commands"] == [ON, start, OFF]
    assert restored.result["restore"]["pid"] == 71 and restored.result["label_proof"] == "enforcing"
    assert not (made.folder / "box/b0").exists(), "the used checkpoint"


def test_archive_of_two_commands_keeps_the_container_running(module: Run, made: World) -> None:
    archive = made.folder / "data/web.tar"
    partial = archive.parent / ".web.tar.partial"
    made.process(70, [LABEL])
    made.script(Reply(SHOW, out=shown("running", 70)), dump(made, "--stay"))
    pack = ["tar", "-C", str(made.folder / "box/b0"), "-cf", str(partial), "."]
    made.script(Write(pack, effect=lambda: partial.write_bytes(b"archive")))
    params = {"name": "web", "engine": "box", "archive_path": str(archive), "leave_running": True}
    run = module("container_checkpoint", params, host=made.host)
    assert not run.failed, run.result
    assert run.result["commands"][-1] == pack
    assert archive.read_bytes() == b"archive" and not (made.folder / "box/b0").exists()
    assert run.result["checkpoint"]["container_state"] == "running"


def test_ability_that_is_missing_is_refused_before_anything_is_touched(module: Run, made: World) -> None:
    params = {"name": "web", "engine": "box", "archive_path": "/a/web.tar", "new_name": "b"}
    run = module("container_restore", params, host=made.host, check=True)
    assert (run.failed, run.result["reason"]) == (True, "ability_missing")
    assert run.result["msg"].startswith("Cannot use new_name for container 'web': the engine 'box' does not have it.")
    assert made.host.ran == []


def test_failure_has_the_words_of_the_engine(module: Run, made: World) -> None:
    made.process(70, [LABEL])
    made.script(Reply(SHOW, out=shown("running", 70)))
    argv = ["box", "dump", "web", str(made.folder / "box/b0")]
    made.script(Write(argv, rc=1, err="no"))
    run = module("container_checkpoint", {"name": "web", "engine": "box"}, host=made.host)
    assert run.result["msg"] == "Cannot checkpoint container 'web': box cannot do it. It keeps running. Ask box."


@pytest.mark.parametrize("option", ["pre_checkpoint", "with_previous"])
def test_an_engine_without_pre_checkpoints(module: Run, made: World, option: str) -> None:
    run = module("container_checkpoint", {"name": "web", "engine": "box", option: True}, host=made.host)
    assert (run.failed, run.result["reason"]) == (True, "ability_missing") and option in run.result["msg"]
