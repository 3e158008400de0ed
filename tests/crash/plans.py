# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans that are disturbed: how to prepare each, the task and its opposite, and the tasks that come next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import task
from task import Call, Result
from world import ARCHIVE, IMAGES, NAME, World, copies, podman

PLACE = {"name": NAME}
ARCHIVED = {"name": NAME, "archive_path": str(ARCHIVE)}
COPY = {**ARCHIVED, "new_name": f"{NAME}-2"}
IMAGED = {"images_path": str(IMAGES)}


def checkpoint(**args: object) -> Call:
    return Call("container_checkpoint", dict(args))


def restore(**args: object) -> Call:
    return Call("container_restore", dict(args))


def process_checkpoint(**args: object) -> Call:
    return Call("process_checkpoint", {**IMAGED, **args})


def process_restore(**args: object) -> Call:
    return Call("process_restore", {**IMAGED, **args})


def unit(action: str, **environment: str) -> Call:
    return Call(words=(action, NAME), environment=environment)


def must(call: Call, when: str = "next run") -> list[str]:
    """Run a task that has to succeed."""
    result = task.run(call)
    return [f"{when} failed: {result.line}"] if result.failed else []


def prepared(call: Call) -> None:
    """Run a task of the preparation."""
    result = task.run(call)
    if result.failed:
        raise RuntimeError(f"the preparation failed: {result.line}")


@dataclass(frozen=True)
class Plan:
    """One plan. ``settle`` runs the next tasks after the disturbed one and returns what is wrong."""

    name: str
    prepare: Callable[[World], tuple[Call, Call]]
    settle: Callable[[World, Call, Result], list[str]]
    full_disk: bool = False


def place(world: World) -> tuple[Call, Call]:
    world.start_container()
    return checkpoint(**PLACE), restore(**PLACE)


def settle_place(world: World, call: Call, dummy: Result) -> list[str]:
    found = must(call)
    if copies():
        found.append("next run: it reports success, and the container runs")
    return found + must(restore(**PLACE), "the restore after it") + world.alive("after the restore")


def archive(*options: str, **more: object) -> Callable[[World], tuple[Call, Call]]:
    def prepare(world: World) -> tuple[Call, Call]:
        world.start_container(*options)
        return checkpoint(**ARCHIVED, **more), restore(**ARCHIVED)

    return prepare


def settle_archive(world: World, call: Call, dummy: Result) -> list[str]:
    """Proves that the archive is complete: it is all that is left for the restore."""
    found = must(call)
    if call.args.get("leave_running"):
        found += world.alive("after the next run")
        world.look()
        # The archive may be older than the last count.
        world.counter.count = 0
    podman("rm", "--force", "--time=0", "--ignore", NAME)
    return found + must(restore(**ARCHIVED), "the restore after it") + world.alive("after the restore")


def from_place(world: World) -> tuple[Call, Call]:
    world.start_container()
    prepared(checkpoint(**PLACE))
    return restore(**PLACE), checkpoint(**PLACE)


def from_archive(args: dict[str, str]) -> Callable[[World], tuple[Call, Call]]:
    def prepare(world: World) -> tuple[Call, Call]:
        world.start_container()
        prepared(checkpoint(**ARCHIVED))
        podman("rm", "--force", NAME)
        opposite = {**PLACE, "name": args.get("new_name", NAME)}
        return restore(**args), checkpoint(**opposite)

    return prepare


def settle_restored(world: World, call: Call, dummy: Result) -> list[str]:
    return must(call) + world.alive("after the next run") + must(call, "the run after it") + world.alive("at the end")


def absent(world: World) -> tuple[Call, Call]:
    world.start_container()
    prepared(checkpoint(**ARCHIVED, leave_running=True))
    return checkpoint(**ARCHIVED, state="absent"), restore(**ARCHIVED)


def settle_absent(world: World, call: Call, dummy: Result) -> list[str]:
    found = must(call) + world.alive("after the next run")
    return found + [f"next run: {path} is still there" for path in ARCHIVE.parent.iterdir()]


def process(**more: object) -> Callable[[World], tuple[Call, Call]]:
    def prepare(world: World) -> tuple[Call, Call]:
        return process_checkpoint(pid=world.start_process(), **more), process_restore()

    return prepare


def settle_process(world: World, call: Call, dummy: Result) -> list[str]:
    found = must(call)
    if call.args.get("leave_running"):
        found += world.alive("after the next run")
        found += must(process_checkpoint(pid=call.args["pid"]), "the checkpoint after it")
    return found + must(process_restore(), "the restore after it") + world.alive("after the restore")


def from_images(world: World) -> tuple[Call, Call]:
    pid = world.start_process()
    prepared(process_checkpoint(pid=pid))
    return process_restore(), process_checkpoint(pid=pid)


def stop_unit(world: World) -> tuple[Call, Call]:
    world.describe_unit()
    prepared(unit("start"))
    world.meet()
    return unit("stop"), unit("start")


def start_unit(world: World) -> tuple[Call, Call]:
    stop_unit(world)
    world.look()
    prepared(unit("stop"))
    return unit("start"), unit("stop")


def settle_unit(world: World, call: Call, result: Result) -> list[str]:
    """Does what systemd does: ExecStopPost after a stop, or after a start that failed, then the next start."""
    found: list[str] = []
    if result.failed or call.words[0] == "stop":
        why = "success" if not result.failed else ("signal" if result.rc < 0 else "exit-code")
        status = {-9: "KILL", -15: "TERM"}.get(result.rc, str(result.rc if result.failed else 137))
        found += (
            must(unit("stopped", SERVICE_RESULT=why, EXIT_STATUS=status), "ExecStopPost") if why != "success" else []
        )
    return found + must(unit("start"), "the next start") + world.alive("after the next start")


PLANS = {
    plan.name: plan
    for plan in (
        Plan("container_checkpoint_place", place, settle_place),
        Plan("container_checkpoint_archive", archive(), settle_archive, full_disk=True),
        Plan("container_checkpoint_rm", archive("--rm"), settle_archive, full_disk=True),
        Plan("container_checkpoint_leave", archive(leave_running=True), settle_archive, full_disk=True),
        Plan("container_restore_place", from_place, settle_restored),
        Plan("container_restore_archive", from_archive(ARCHIVED), settle_restored),
        Plan("container_restore_new_name", from_archive(COPY), settle_restored),
        Plan("container_checkpoint_absent", absent, settle_absent),
        Plan("process_checkpoint", process(), settle_process, full_disk=True),
        Plan("process_checkpoint_leave", process(leave_running=True), settle_process, full_disk=True),
        Plan("process_restore", from_images, settle_restored),
        Plan("unit_stop", stop_unit, settle_unit),
        Plan("unit_start", start_unit, settle_unit),
    )
}
