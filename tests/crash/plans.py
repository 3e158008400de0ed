# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans that are disturbed: how to prepare each, the task and its opposite, and the tasks that come next."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any, Callable

import task
from task import Call, Result
from world import (
    AGE_KEY,
    ARCHIVE,
    IMAGES,
    NAME,
    SIGNING_KEY,
    STATES,
    STORE,
    World,
    checkpoints,
    copies,
    leftovers,
    manifest_of,
    podman,
)

PLACE = {"name": NAME}
ARCHIVED = {"name": NAME, "archive_path": str(ARCHIVE)}
COPY = {**ARCHIVED, "new_name": f"{NAME}-2"}
IMAGED = {"images_path": str(IMAGES)}
STORED = {"name": NAME, "store": str(STORE)}
AGE = ("age --version", "age-keygen --version")
TRACKING = ("criu check --feature mem_dirty_track",)
PRE = {**STORED, "pre_checkpoint": True}
WITH = {**STORED, "with_previous": True}
LIVE = {"leave_running": True, "when": "always"}
# How far the clock of a task goes back, in seconds
BACK = 7200


def checkpoint(**args: object) -> Call:
    return Call("container_checkpoint", dict(args))


def restore(**args: object) -> Call:
    return Call("container_restore", dict(args))


def process_checkpoint(**args: object) -> Call:
    return Call("process_checkpoint", {**IMAGED, **args})


def process_restore(**args: object) -> Call:
    return Call("process_restore", {**IMAGED, **args})


def prune(**args: object) -> Call:
    return Call("checkpoint_retention", {"store": str(STORE), **args})


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
    """One plan. ``settle`` runs the next tasks after the disturbed one and returns what is wrong.

    ``needs`` are commands that fail where the image of the lab lacks a program, or the kernel an ability. ``store`` is
    as for ``cases_of``: "before" for a container made with --rm, since podman removes it although it could not write
    its archive (docs/promises.md).
    """

    name: str
    prepare: Callable[[World], tuple[Call, Call]]
    settle: Callable[[World, Call, Result], list[str]]
    full_disk: bool = False
    store: str = ""
    needs: tuple[str, ...] = ()

    @property
    def more(self) -> dict[str, Any]:
        """The kinds of cases beside those that all plans have."""
        return {"full_disk": self.full_disk, "store": self.store}


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


def settle_archive(world: World, call: Call, dummy: Result, back: Call | None = None) -> list[str]:
    """Proves that the archive is complete: it is all that is left for the restore."""
    found = must(call)
    if call.args.get("leave_running"):
        found += world.alive("after the next run")
        world.look()
        # The archive may be older than the last count.
        world.counter.count = 0
    podman("rm", "--force", "--time=0", "--ignore", NAME)
    return found + must(back or restore(**ARCHIVED), "the restore after it") + world.alive("after the restore")


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


def store(*options: str, **more: object) -> Callable[[World], tuple[Call, Call]]:
    def prepare(world: World) -> tuple[Call, Call]:
        world.start_container(*options)
        return checkpoint(**STORED, **more), restore(**STORED)

    return prepare


def settle_store(world: World, call: Call, result: Result) -> list[str]:
    return settle_archive(world, call, result, restore(**STORED))


def from_store(world: World) -> tuple[Call, Call]:
    world.start_container()
    prepared(checkpoint(**STORED))
    podman("rm", "--force", NAME)
    return restore(**STORED), checkpoint(**STORED)


def first_step(world: World) -> tuple[Call, Call]:
    world.start_container()
    return checkpoint(**PRE), checkpoint(**STORED)


def second_step(world: World) -> tuple[Call, Call]:
    world.start_container()
    prepared(checkpoint(**PRE))
    return checkpoint(**WITH), checkpoint(**PRE)


def settle_steps(world: World, dummy: Call, result: Result) -> list[str]:
    """Both tasks come again, in their order: a dump on images that were used before would lack memory."""
    return must(checkpoint(**PRE)) + settle_store(world, checkpoint(**WITH), result)


def from_two(world: World) -> tuple[Call, Call]:
    dump, dummy = second_step(world)
    prepared(dump)
    podman("rm", "--force", NAME)
    return restore(**STORED), checkpoint(**PRE)


def age_recipient() -> str:
    """Make a key of age; return its public part."""
    AGE_KEY.unlink(missing_ok=True)
    subprocess.run(["age-keygen", "-o", str(AGE_KEY)], capture_output=True, check=True)
    return subprocess.run(["age-keygen", "-y", str(AGE_KEY)], capture_output=True, text=True, check=True).stdout.strip()


def opened(**args: object) -> Call:
    return restore(**STORED, decryption_key=str(AGE_KEY), **args)


def encrypted(*options: str) -> Callable[[World], tuple[Call, Call]]:
    def prepare(world: World) -> tuple[Call, Call]:
        world.start_container(*options)
        return checkpoint(**STORED, encrypt_to=[age_recipient()]), opened()

    return prepare


def settle_encrypted(world: World, call: Call, result: Result) -> list[str]:
    return settle_archive(world, call, result, opened())


def from_encrypted(world: World) -> tuple[Call, Call]:
    world.start_container()
    sealed = checkpoint(**STORED, encrypt_to=[age_recipient()])
    prepared(sealed)
    podman("rm", "--force", NAME)
    return opened(), sealed


def clock_back(world: World) -> tuple[Call, Call]:
    """The clock goes back after a checkpoint, which so is of the future; max_age makes a new one."""
    world.start_container()
    prepared(checkpoint(**STORED, leave_running=True))
    again = {**STORED, "leave_running": True, "max_age": "1h"}
    return Call("container_checkpoint", again, clock=-BACK), restore(**STORED)


def settle_clock(world: World, call: Call, result: Result) -> list[str]:
    """Proves that the id of the checkpoint made by the wrong clock sorts last, so that a restore takes it."""
    found = must(call)
    times = [manifest_of(path)["made_at"] for path in checkpoints()]
    if len(times) < 2 or times[-1] > times[0]:
        found.append(f"next run: the checkpoint with the clock set back is not the newest: {times}")
    return found + settle_store(world, call, result)


def old_checkpoints(world: World) -> tuple[Call, Call]:
    world.start_container()
    for dummy in range(3):
        prepared(checkpoint(**STORED, **LIVE))
    return prune(keep_last=1), checkpoint(**STORED, **LIVE)


def settle_pruned(world: World, call: Call, dummy: Result) -> list[str]:
    """Proves that the newest is left, and that a restore can use it."""
    newest = checkpoints()[-1:]
    found = must(call)
    if not newest or checkpoints() != newest:
        found.append(f"next run: {len(checkpoints())} checkpoints are left, and the newest was {newest}")
    world.counter.count = 0
    podman("rm", "--force", "--time=0", NAME)
    return found + must(restore(**STORED), "the restore after it") + world.alive("after the restore")


def settle_removed(world: World, dummy: Call, dummy_result: Result) -> list[str]:
    """Somebody removes the container after the disturbed task, and the retention comes by; then there is a new one."""
    podman("rm", "--force", "--time=0", "--ignore", NAME)
    found = must(prune(keep_last=1), "the retention")
    found += [one for one in leftovers() if str(STORE) in one]
    world.start_container()
    return found + must(checkpoint(**STORED), "the checkpoint of the new container")


def stored_process(**more: object) -> Callable[[World], tuple[Call, Call]]:
    def prepare(world: World) -> tuple[Call, Call]:
        call = Call("process_checkpoint", {**STORED, "pid": world.start_process(), **more})
        return call, Call("process_restore", STORED)

    return prepare


def settle_stored_process(world: World, call: Call, dummy: Result) -> list[str]:
    found = must(call)
    if call.args.get("leave_running"):
        found += world.alive("after the next run")
        again = {**STORED, "pid": call.args["pid"]}
        found += must(Call("process_checkpoint", again), "the checkpoint after it")
    back = Call("process_restore", STORED)
    return found + must(back, "the restore after it") + world.alive("after the restore")


def from_stored_process(world: World) -> tuple[Call, Call]:
    call, back = stored_process()(world)
    prepared(call)
    return back, call


def older_process(world: World) -> tuple[Call, Call]:
    """Restores a checkpoint that no rule keeps: a newer one of the same process is there."""
    call, dummy = stored_process(**LIVE)(world)
    prepared(call)
    prepared(Call("process_checkpoint", {**STORED, "pid": call.args["pid"]}))
    world.counter.count = 0
    wanted = checkpoints()[0].name
    return Call("process_restore", {**STORED, "checkpoint": wanted}), prune(keep_last=1)


def settle_older_process(world: World, call: Call, dummy: Result) -> list[str]:
    """The retention comes by before the next restore: it may not remove what a killed restore has begun with."""
    wanted = str(call.args["checkpoint"])
    notes = [*STORE.rglob("begun.json"), *STATES[1].glob("restored/*.begun.json")]
    begun = any("restoring" in json.loads(path.read_text()).values() for path in notes)
    found = must(prune(keep_last=1), "the retention")
    kept = wanted in [path.name for path in checkpoints()]
    if begun and not kept:
        found.append("the retention: it has removed the checkpoint from which a restore has begun")
    if kept:
        found += must(call)
    elif not copies():
        found += must(Call("process_restore", STORED), "the restore of the newest")
    world.counter.count = 0
    return found + world.alive("after the next run")


def signing_key() -> str:
    """Make a key of OpenSSH; return the path of its private part."""
    for path in (SIGNING_KEY, SIGNING_KEY.with_suffix(".pub")):
        path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(SIGNING_KEY)], check=True)
    return str(SIGNING_KEY)


def signed_process(world: World) -> tuple[Call, Call]:
    return stored_process(signing_key=signing_key())(world)


def settle_signed_process(world: World, call: Call, result: Result) -> list[str]:
    """Proves that the checkpoint which the next run leaves is signed."""
    found = must(call)
    found += [f"next run: {path} is not signed" for path in checkpoints() if not (path / "manifest.json.sig").exists()]
    back = Call("process_restore", STORED)
    return found + must(back, "the restore after it") + world.alive("after the restore")


def settle_swept_process(world: World, call: Call, dummy: Result) -> list[str]:
    """The retention comes by before the next task on the process, which may be lost to it in no case."""
    found = must(prune(keep_last=9), "the retention")
    found += [one for one in leftovers() if str(STORE) in one]
    if not copies():
        found += must(Call("process_restore", STORED), "the restore after it")
    found += world.alive("after the retention")
    again = {**call.args, "pid": copies()[0]} if copies() else call.args
    world.look()
    found += must(Call("process_checkpoint", again), "the checkpoint after it")
    return found + must(Call("process_restore", STORED), "the restore after it") + world.alive("at the end")


def process_on_parent(world: World) -> tuple[Call, Call]:
    call, back = stored_process(parent="latest")(world)
    prepared(Call("process_checkpoint", {**STORED, "pid": call.args["pid"], "pre_dump": True}))
    return call, back


def settle_on_parent(world: World, call: Call, dummy: Result) -> list[str]:
    """After a dump that was cut off, changes of memory are tracked no more: then a new pre-dump has to come first."""
    result = task.run(call)
    found: list[str] = []
    if result.failed and result.reason == "parent_invalid" and copies():
        found += must(Call("process_checkpoint", {**STORED, "pid": call.args["pid"], "pre_dump": True}), "the pre-dump")
        found += must(call, "the dump after it")
    elif result.failed:
        found.append(f"next run failed: {result.line}")
    return found + must(Call("process_restore", STORED), "the restore after it") + world.alive("after the restore")


def from_process_on_parent(world: World) -> tuple[Call, Call]:
    call, back = process_on_parent(world)
    prepared(call)
    return back, call


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
        Plan("container_checkpoint_store", store(), settle_store, full_disk=True, store="during"),
        Plan("container_checkpoint_store_rm", store("--rm"), settle_store, full_disk=True, store="before"),
        Plan("container_checkpoint_store_leave", store(**LIVE), settle_store, full_disk=True, store="during"),
        Plan("container_checkpoint_store_age", encrypted(), settle_encrypted, True, store="during", needs=AGE),
        Plan("container_checkpoint_store_age_rm", encrypted("--rm"), settle_encrypted, True, store="before", needs=AGE),
        Plan("container_checkpoint_store_clock", clock_back, settle_clock),
        Plan("container_checkpoint_store_removed", store(), settle_removed),
        Plan("container_checkpoint_store_pre", first_step, settle_steps, True, store="during", needs=TRACKING),
        Plan("container_checkpoint_store_with_previous", second_step, settle_steps, store="during", needs=TRACKING),
        Plan("container_restore_store", from_store, settle_restored, store="during"),
        Plan("container_restore_store_two_steps", from_two, settle_restored, store="during", needs=TRACKING),
        Plan("container_restore_store_age", from_encrypted, settle_restored, store="during", needs=AGE),
        Plan("process_checkpoint_store", stored_process(), settle_stored_process, full_disk=True, store="during"),
        Plan("process_checkpoint_store_leave", stored_process(**LIVE), settle_stored_process, True, store="during"),
        Plan("process_restore_store", from_stored_process, settle_restored, store="during"),
        Plan("process_restore_store_older", older_process, settle_older_process),
        Plan("process_checkpoint_store_signed", signed_process, settle_signed_process, full_disk=True, store="during"),
        Plan("process_checkpoint_store_swept", stored_process(), settle_swept_process, full_disk=True, store="during"),
        Plan(
            "process_checkpoint_store_parent",
            process_on_parent,
            settle_on_parent,
            store="during",
            needs=TRACKING,
        ),
        Plan("process_restore_store_parent", from_process_on_parent, settle_restored, store="during", needs=TRACKING),
        Plan("checkpoint_retention", old_checkpoints, settle_pruned, store="during"),
        Plan("unit_stop", stop_unit, settle_unit),
        Plan("unit_start", start_unit, settle_unit),
    )
}
