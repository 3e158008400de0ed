# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of checkpoint_retention on stores in a folder, with a clock of their own."""

from __future__ import annotations

import json
import os
import time
from calendar import timegm
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Iterator

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container import prune as pruning
from ansible_collections.criu.hosts.plugins.module_utils._core import apply, lock
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import lock_path
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import list_stored, new_id
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Manifest
from ansible_collections.criu.hosts.tests.unit.containers import ID, World, recorded, world
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Case, Host, Reply
from ansible_collections.criu.hosts.tests.unit.locks import held_by_another
from ansible_collections.criu.hosts.tests.unit.stored import (
    RECORD,
    manifest_of,
    process_manifest,
    store_checkpoint,
)

NOW = float(timegm(time.strptime("20261130T164500Z", "%Y%m%dT%H%M%SZ")))
DAY = 86400
NO_CONTAINER = Reply(["podman", "container", "inspect", "web"], err="Error: no such container web\n", rc=125)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning.time, "time", lambda: NOW)


def id_of(days: float) -> str:
    return new_id(NOW - days * DAY, b"\x1a\x2b\x3c\x4d")


def aged(days: float, name: str = "web", **changed: Any) -> Manifest:
    """Returns the manifest of a checkpoint of this age."""
    return manifest_of(id_of(days), name, **{"made_at": made_at(days), **changed})


def made_at(days: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - days * DAY))


def put(folder: Path, days: float, **changed: Any) -> Path:
    """Stores a checkpoint of this age."""
    return store_checkpoint(folder / "store", aged(days, **changed))


def week(folder: Path) -> Path:
    """Returns a store with a checkpoint for each of the last seven days."""
    for days in range(7):
        put(folder, days)
    return folder / "store"


def ids(store: Path) -> list[str]:
    return [one.id for one in list_stored(str(store))]


def params(store: Path, **given: Any) -> dict[str, Any]:
    return {"store": str(store), **given}


def nothing_to_do(folder: Path) -> tuple[dict[str, Any], Host]:
    return params(week(folder), keep_last=7), Host()


def pruned(folder: Path) -> tuple[dict[str, Any], Host]:
    return params(week(folder), keep_daily=2, max_age="30d"), Host()


def pinned(folder: Path) -> tuple[dict[str, Any], Host]:
    store = week(folder)
    (store / "containers/web" / id_of(3) / "pinned").touch(mode=0o600)
    return params(store, keep_last=1, pin=[id_of(5)], unpin=[id_of(3)]), Host()


def leftover(folder: Path) -> tuple[dict[str, Any], Host]:
    store = week(folder)
    (store / f"containers/web/.gone-{id_of(9)}").mkdir()
    return params(store, name="web", kind="container"), Host()


CONTRACT_CASES = [
    Case("nothing-to-do", nothing_to_do, changed=False),
    Case("no-store", lambda folder: (params(folder / "none", keep_last=1), Host()), changed=False),
    Case("pruned", pruned),
    Case("pinned", pinned),
    Case("rest-of-a-killed-task", leftover),
]


def test_it_removes_what_no_rule_keeps(module: Any, tmp_path: Path) -> None:
    store = week(tmp_path)
    ran = module("checkpoint_retention", params(store, keep_last=2, keep_weekly=2))
    assert ids(store) == [id_of(0), id_of(1)], "the newest of this week, and of the last one"
    assert sorted(os.listdir(store / "containers/web")) == sorted([id_of(0), id_of(1)])
    assert [one["keep"] for one in ran.result["checkpoints"]] == [True] * 2 + [False] * 5
    assert ran.result["checkpoints"][0] == {
        "kind": "container",
        "name": "web",
        "id": id_of(0),
        "made_at": "2026-11-30T16:45:00Z",
        "size_bytes": sum(path.stat().st_size for path in (store / "containers/web" / id_of(0)).iterdir()),
        "pinned": False,
        "fault": None,
        "keep": True,
        "why": ["it is the newest whole one of 'web'", "keep_last: 1 of 2", "keep_weekly: newest of 2026-W49"],
    }
    assert ran.result["removed_bytes"] == 5 * ran.result["checkpoints"][0]["size_bytes"]
    assert ran.result["diff"]["before"]["checkpoints"][0] == f"container web {id_of(0)}"
    assert len(ran.result["diff"]["after"]["checkpoints"]) == 2


def test_check_mode_is_the_plan(module: Any, tmp_path: Path) -> None:
    store = week(tmp_path)
    ran = module("checkpoint_retention", params(store, keep_last=2), check=True)
    assert ran.result["changed"] and len(ids(store)) == 7
    assert [one["why"] for one in ran.result["checkpoints"]][-1] == ["no keep rule selects it"]


def test_names_and_kinds_are_apart(module: Any, tmp_path: Path) -> None:
    store = week(tmp_path)
    store_checkpoint(store, aged(1, "db"))
    for days in (1, 2, 3):
        store_checkpoint(store, process_manifest(id_of(days), "web", made_at=made_at(days)))
    module("checkpoint_retention", params(store, kind="process", keep_last=1))
    assert len(list_stored(str(store), "process")) == 1 and len(list_stored(str(store), "container")) == 8
    module("checkpoint_retention", params(store, name="web", keep_last=1))
    assert {(one.kind, one.name) for one in list_stored(str(store))} == {
        ("container", "web"),
        ("container", "db"),
        ("process", "web"),
    }
    assert len(list_stored(str(store))) == 3


def test_pins(module: Any, tmp_path: Path) -> None:
    store = week(tmp_path)
    ran = module("checkpoint_retention", params(store, pin=[id_of(4)]))
    assert ran.result["changed"] and ran.result["diff"]["after"]["pinned"] == [f"container web {id_of(4)}"]
    assert ran.result["checkpoints"][4]["pinned"] is True
    flag = store / "containers/web" / id_of(4) / "pinned"
    assert flag.read_bytes() == b"" and flag.stat().st_mode & 0o777 == 0o600
    module("checkpoint_retention", params(store, keep_last=1))
    assert ids(store) == [id_of(0), id_of(4)]
    ran = module("checkpoint_retention", params(store, keep_last=1, unpin=[id_of(4)]))
    assert ids(store) == [id_of(0)] and ran.result["diff"]["before"]["pinned"] == [f"container web {id_of(4)}"]


def test_a_pin_of_a_checkpoint_that_is_missing(module: Any, tmp_path: Path) -> None:
    store = week(tmp_path)
    ran = module("checkpoint_retention", params(store, keep_last=1, pin=[id_of(9)]))
    assert ran.result["reason"] == "checkpoint_missing" and "Cannot pin" in ran.result["msg"]
    assert len(ids(store)) == 7, "nothing was removed either"
    assert not module("checkpoint_retention", params(store, unpin=[id_of(9)])).result["changed"]


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"max_age": "soon"}, "max_age"),
        ({"max_age": "0"}, "max_age"),
        ({"keep_last": -1}, "keep_last"),
        ({"pin": ["a"], "unpin": ["a"]}, "pin"),
    ],
)
def test_options_that_cannot_be_used(module: Any, tmp_path: Path, given: dict[str, Any], option: str) -> None:
    ran = module("checkpoint_retention", params(week(tmp_path), **given))
    assert (ran.result["reason"], ran.result["option"]) == ("option_invalid", option)


def test_the_parent_of_a_kept_one_stays(module: Any, tmp_path: Path) -> None:
    put(tmp_path, 5)
    put(tmp_path, 4, parent=id_of(5))
    put(tmp_path, 3, parent=id_of(4))
    store = put(tmp_path, 2, parent=id_of(4)).parents[2]
    module("checkpoint_retention", params(store, keep_last=1))
    assert ids(store) == [id_of(2), id_of(4), id_of(5)]


def test_a_damaged_one_is_named_and_stays(module: Any, tmp_path: Path) -> None:
    store = week(tmp_path)
    (store / "containers/web" / id_of(0) / "archive.tar.zst").unlink()
    ran = module("checkpoint_retention", params(store, keep_last=1))
    assert ids(store) == [id_of(0), id_of(1)]
    assert "cannot be restored: its part 'archive.tar.zst' is missing" in str(ran.result["warnings"])


def test_a_time_in_the_future_is_a_warning(module: Any, tmp_path: Path) -> None:
    store = week(tmp_path)
    put(tmp_path, -400)
    ran = module("checkpoint_retention", params(store, keep_last=1))
    assert ids(store) == [id_of(-400), id_of(0)]
    assert "1 checkpoints have a time in the future" in str(ran.result["warnings"])


def test_an_id_that_is_no_time_stays(module: Any, tmp_path: Path) -> None:
    store = week(tmp_path)
    odd = "20269999T999999Z-1a2b3c4d"
    folder = store_checkpoint(store, manifest_of(odd))
    (folder / "manifest.json").unlink()
    module("checkpoint_retention", params(store, keep_last=1, max_age="1d"))
    assert ids(store) == [odd, id_of(0)]


def stopped(folder: Path) -> World:
    """Returns a host whose container has ended with its dump."""
    made = world(folder, selinux="disabled")
    made.dump()
    made.script(Reply(["podman", "container", "inspect", "web"], out=made.inspected("checkpointed")))
    return made


def ended(days: float, stamp: str) -> Any:
    """Returns a checkpoint with which its container has ended."""
    record = json.loads(json.dumps({**vars(RECORD), "id": ID, "stamp": stamp}))
    return aged(days, record=record)


def test_the_one_that_a_container_is_stopped_in_stays(module: Any, tmp_path: Path) -> None:
    made = stopped(tmp_path)
    store = week(tmp_path)
    store_checkpoint(store, ended(10, "1000000000"))
    store_checkpoint(store, ended(11, "999"))
    ran = module("checkpoint_retention", params(store, keep_last=1, max_age="5d"), host=made.host)
    assert ids(store) == [id_of(0), id_of(10)]
    assert ran.result["checkpoints"][-2]["why"] == ["container 'web' is stopped in it"]
    assert ran.host.ran == [["podman", "container", "inspect", "web"]]


def test_a_host_without_the_engine_has_no_container(module: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for days in (1, 10):
        store_checkpoint(store, ended(days, "1000000000"))
    host = Host(missing=["podman"])

    def run_command(*dummy: Any, **options: Any) -> tuple[int, str, str]:
        raise FileNotFoundError(2, "No such file or directory")

    host.run_command = run_command  # type: ignore[method-assign]
    module("checkpoint_retention", params(store, keep_last=1), host=host)
    assert ids(store) == [id_of(1)]


def test_one_that_a_note_names_stays(module: Any, tmp_path: Path) -> None:
    made = world(tmp_path, selinux="disabled")
    store = week(tmp_path)
    notes = tmp_path / "var/lib/criu-hosts/begun"
    notes.mkdir(parents=True)
    note = {
        "action": "restoring",
        "thing": "copy",
        "boot": "b",
        "began": "2026-11-30T10:00:00Z",
        "facts": {"archive_path": str(store / f"containers/web/{id_of(4)}/archive.tar.zst")},
    }
    (notes / "container-copy.json").write_text(json.dumps(note))
    (notes / "record-copy.json").write_text("{}")
    ran = module("checkpoint_retention", params(store, keep_last=1), host=made.host)
    assert ids(store) == [id_of(0), id_of(4)]
    assert ran.result["checkpoints"][4]["why"] == [
        "a task that began at 2026-11-30T10:00:00Z (restoring 'copy') needs it"
    ]


def test_a_task_that_is_killed_leaves_whole_checkpoints_and_the_next_one_ends_its_work(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends right before each of its steps in turn."""

    class Killed(BaseException):
        pass

    step_of, done = apply.apply_step, [0]

    def count(*given: Any) -> None:
        step_of(*given)
        done[0] += 1

    def four(folder: Path) -> Path:
        for days in range(4):
            put(folder, days)
        return folder / "store"

    monkeypatch.setattr(apply, "apply_step", count)
    module("checkpoint_retention", params(four(tmp_path / "first"), keep_last=2))
    assert done == [4]
    for last in range(4):
        store = four(tmp_path / str(last))

        def until(*given: Any, left: list[int]) -> None:
            if not left:
                raise Killed
            left.pop()
            step_of(*given)

        with monkeypatch.context() as patch:
            patch.setattr(apply, "apply_step", partial(until, left=[0] * last))
            with pytest.raises(Killed):
                module("checkpoint_retention", params(store, keep_last=2))
        assert all(not one.fault for one in list_stored(str(store))), "none is listed that is half removed"
        assert {id_of(0), id_of(1)} <= set(ids(store))
        ran = module("checkpoint_retention", params(store, keep_last=2))
        assert ran.result["changed"] and sorted(os.listdir(store / "containers/web")) == sorted([id_of(0), id_of(1)])


def process_restored(folder: Path, place: str) -> Path:
    """Returns a store with four checkpoints of a process, from the third of which a killed task was restoring."""
    for days in range(4):
        made = process_manifest(id_of(days), made_at=made_at(days))
        digest = str(days) * 64
        store_checkpoint(folder / "store", replace(made, record={**made.record, "inventory": digest}))
    note = folder / place.format(id=id_of(2), digest="2" * 64)
    note.parent.mkdir(parents=True, mode=0o700)
    facts = {"inventory": "2" * 64}
    note.write_text(json.dumps({"action": "restoring", "thing": "i", "boot": "b", "began": "now", "facts": facts}))
    note.chmod(0o600)
    return folder / "store"


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("store/processes/worker/{id}/.images.criu/begun.json", id="beside-the-images"),
        pytest.param("run/criu-hosts/restored/{digest}.begun.json", id="of-a-copy-of-the-images"),
    ],
)
def test_one_that_a_killed_restore_of_a_process_may_need_stays(module: Any, tmp_path: Path, place: str) -> None:
    made = world(tmp_path, selinux="disabled")
    store = process_restored(tmp_path, place)
    ran = module("checkpoint_retention", params(store, keep_last=1, max_age="1d"), host=made.host)
    assert ids(store) == [id_of(0), id_of(2)]
    assert ran.result["checkpoints"][2]["why"] == ["a task that began at now (restoring 'i') needs it"]


def two_names(folder: Path) -> Path:
    store = week(folder)
    for days in range(3):
        store_checkpoint(store, aged(days, "db"))
    return store


@pytest.mark.parametrize(("kind", "thing"), [("container", "web"), ("store", "{store}/containers/web")])
def test_a_container_that_another_task_works_on_is_left_alone(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, thing: str
) -> None:
    monkeypatch.setattr(lock, "HOLD_SECONDS", 0.0)
    store = two_names(tmp_path)
    (store / f"containers/web/.gone-{id_of(9)}").mkdir()
    with held_by_another(lock_path(PLACE.paths, os.geteuid(), kind, thing.format(store=store))):
        ran = module("checkpoint_retention", params(store, keep_last=1))
        assert not ran.result.get("failed"), ran.result
        assert len(list_stored(str(store), name="web")) == 7 and len(list_stored(str(store), name="db")) == 1
        assert (store / f"containers/web/.gone-{id_of(9)}").exists()
        assert "another task works on container 'web'" in ran.result["checkpoints"][-1]["why"]
        for given in ({"name": "web", "keep_last": 1}, {"pin": [id_of(5)]}):
            assert module("checkpoint_retention", params(store, **given)).result["reason"] == "busy"
    module("checkpoint_retention", params(store, keep_last=1))
    assert len(list_stored(str(store))) == 2


def test_it_holds_each_name_from_the_look_to_the_last_step(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The locks have the order of those of container_checkpoint: containers, then the folders of their names."""
    store = two_names(tmp_path)
    held: list[str] = []
    taken: list[str] = []
    seen: list[list[str]] = []
    hold, step_of, list_of = lock.hold, apply.apply_step, pruning.list_stored

    @contextmanager
    def holds(path: str, what: str, seconds: float | None = None) -> Iterator[None]:
        with hold(path, what, seconds):
            held.append(what)
            taken.append(what)
            yield
            held.remove(what)

    monkeypatch.setattr(lock, "hold", holds)
    monkeypatch.setattr(apply, "apply_step", lambda *given: (seen.append(list(held)), step_of(*given)))
    monkeypatch.setattr(pruning, "list_stored", lambda *given: (seen.append(list(held)), list_of(*given))[1])
    module("checkpoint_retention", params(store, keep_last=1))
    wanted = [
        f"store {str(store)!r}",
        *("container 'db'", "container 'web'"),
        *(f"store {str(store / 'containers' / name)!r}" for name in ("db", "web")),
    ]
    assert taken == wanted and len(seen) > 10 and all(one == wanted for one in seen)


def test_recordings_are_of_the_same_container() -> None:
    assert json.loads(recorded("inspect-checkpointed.json"))[0]["Id"] == ID


@pytest.mark.parametrize("made", ["9999-12-31T23:59:61Z", "0001-01-01T00:00:00Z", "0000-00-00T99:99:99Z"])
def test_a_time_that_no_calendar_has(module: Any, tmp_path: Path, made: str) -> None:
    put(tmp_path, 1)
    put(tmp_path, 2, made_at=made)
    result = module("checkpoint_retention", params(tmp_path / "store", keep_last=1, max_age="1d")).result
    assert not result.get("failed"), result
    assert [one["id"] for one in result["checkpoints"]] == [id_of(1), id_of(2)]


@pytest.mark.parametrize("name", [None, "web", "../../other", "../web", ".."])
def test_the_sweeper_removes_only_rests_of_checkpoints(module: Any, tmp_path: Path, name: str | None) -> None:
    store = put(tmp_path, 1).parents[2]
    strange = [
        store / "containers/web/.gone-notes",
        store / f"containers/.old/.gone-{id_of(2)}",
        store / f".gone-{id_of(2)}",
        tmp_path / f"other/.gone-{id_of(2)}",
    ]
    for path in strange:
        path.mkdir(parents=True)
    given = {} if name is None else {"name": name}
    result = module("checkpoint_retention", params(store, kind="container", **given)).result
    assert not result.get("failed") and not result["changed"], result
    assert all(path.exists() for path in strange)
