# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine a task takes with engine: auto."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.tests.unit.bundle_host import BUNDLE, BundleHost, bundle_host, recorded
from ansible_collections.criu.hosts.tests.unit.containers import INSPECT
from ansible_collections.criu.hosts.tests.unit.containers import recorded as podmans
from ansible_collections.criu.hosts.tests.unit.harness import ModuleRun, Reply

Run = Callable[..., ModuleRun]
AUTO: dict[str, Any] = {"name": "web", "engine": "auto"}


# The programs of engines that are not on the host.
OTHERS: dict[str, str | None] = {"docker": None, "ctr": None, "lxc-checkpoint": None}


@pytest.fixture(name="host")
def host_fixture(tmp_path: Path) -> BundleHost:
    """A host with podman and runc, whose runc has the container."""
    host = bundle_host(tmp_path, "runc")
    host.tools.update({"podman": "/usr/bin/podman", "crun": None, **OTHERS})
    host.world.script(Reply(INSPECT, out="[]\n", err=podmans("inspect-no-such.txt"), rc=125, state="before"))
    return host


def test_the_one_that_has_the_container(module: Run, host: BundleHost) -> None:
    run = module("container_checkpoint", AUTO, host=host)
    assert not run.failed and run.result["checkpoint"]["engine"] == "runc"
    assert module("container_restore", AUTO, host=host).result["restore"]["engine"] == "runc"


def test_two_are_refused(module: Run, host: BundleHost) -> None:
    host.replies = [one for one in host.replies if list(one.argv) != INSPECT]
    host.world.script(Reply(INSPECT, out=host.world.inspected("running")))
    run = module("container_checkpoint", AUTO, host=host)
    assert run.result["reason"] == "engine_ambiguous" and run.result["engines"] == ["podman", "runc"]
    assert run.result["msg"].endswith("Give engine: podman or runc.") and host.wrote == []


def test_the_owner_counts_not_the_runtime_below(module: Run, host: BundleHost) -> None:
    """What podman has started by means of runc is no container of its own."""
    file = host.below(BUNDLE) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "annotations": {"io.container.manager": "libpod"}}))
    host.replies = [one for one in host.replies if list(one.argv) != INSPECT]
    host.world.script(Reply(INSPECT, out=host.world.inspected("checkpointed")))
    run = module("container_checkpoint", AUTO, host=host)
    assert run.result["reason"] == "container_not_running", "podman's own answer, not engine_ambiguous"


def test_none_has_it(module: Run, host: BundleHost) -> None:
    host.end()
    host.forget()
    run = module("container_checkpoint", AUTO, host=host)
    assert run.result["reason"] == "container_missing"
    assert "podman and runc have none of that name" in run.result["msg"]
    absent = module("container_checkpoint", {**AUTO, "state": "absent"}, host=host)
    assert not absent.failed and absent.result["changed"] is False


def test_an_engine_without_an_answer_is_named(module: Run, host: BundleHost) -> None:
    host.end()
    host.forget()
    host.replies = [one for one in host.replies if list(one.argv) != INSPECT]
    host.world.script(Reply(INSPECT, err="Error: database is locked\n", rc=125))
    run = module("container_checkpoint", AUTO, host=host)
    assert run.result["reason"] == "container_missing" and "podman gave no answer: " in run.result["msg"]


def test_no_engine_is_installed(module: Run, host: BundleHost) -> None:
    host.tools.update({"podman": None, "runc": None, "crun": None, **OTHERS})
    assert module("container_checkpoint", AUTO, host=host).result["reason"] == "engine_missing"


def test_archive_says_it_for_a_container_that_is_gone(module: Run, host: BundleHost) -> None:
    archive = host.world.folder / "cp/web.tar.zst"
    params = {**AUTO, "archive_path": str(archive)}
    assert module("container_checkpoint", params, host=host).result["changed"]
    again = module("container_checkpoint", params, host=host)
    assert not again.failed and again.result["changed"] is False and again.result["checkpoint"]["engine"] == "runc"
    other = module("container_restore", {**params, "engine": "crun"}, host=host)
    assert other.result["reason"] == "engine_mismatch" and "Give engine: runc." in other.result["msg"]
    (archive.parent / f"{archive.name}.json").unlink()
    assert module("container_restore", params, host=host).result["reason"] == "engine_unknown"
    found = module("container_restore", {**params, "engine": "runc"}, host=host)
    assert not found.failed and host.runs(), "the archive itself says which container it is"


def test_what_is_not_there_is_said_as_ever(module: Run, host: BundleHost) -> None:
    path = str(host.world.folder / "cp/none.tar")
    (host.world.folder / "cp").mkdir(mode=0o700)
    assert module("container_restore", {**AUTO, "archive_path": path}, host=host).result["reason"] == "archive_missing"
    store = {**AUTO, "store": str(host.world.folder / "store")}
    assert module("container_restore", store, host=host).result["reason"] == "checkpoint_missing"


def test_runc_is_not_installed(module: Run, host: BundleHost) -> None:
    host.state_of("web").joinpath("state.json").write_text(recorded("runc", "pre-dump.txt"))

    def missing(dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        if args[0] == "runc":
            raise FileNotFoundError(2, "No such file or directory", "runc")
        return BundleHost.run_command(host, dummy_module, args, **options)

    host.run_command = missing  # type: ignore[method-assign]
    run = module("container_checkpoint", {"name": "web", "engine": "runc"}, host=host)
    assert run.result["reason"] == "engine_missing"
