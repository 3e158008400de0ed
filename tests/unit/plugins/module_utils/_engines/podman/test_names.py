# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that no command of podman reaches a container whose id begins with the name that was given."""

from __future__ import annotations

import json
from typing import Any, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.tests.unit.containers import ID, recorded

# Podman 5.4.2, for a name with which the ids of two containers begin.
SEVERAL = 'Error: more than one result for container "1": container already exists\n'


class Answers:
    """Answers each command of podman with the same text."""

    def __init__(self, out: str, err: str = "", rc: int = 0) -> None:
        self.answer = (rc, out, err)

    def run(self, argv: Sequence[str], **dummy: Any) -> Completed:
        return Completed(tuple(argv), *self.answer)

    def which(self, name: str) -> str | None:
        return name


def context(out: str, err: str = "", rc: int = 0) -> Context:
    return Context({}, Answers(out, err, rc), False)


def named(name: str) -> Container:
    entry = json.loads(recorded("inspect-running.json"))
    entry[0]["Name"] = name
    found = Podman().inspect(context(json.dumps(entry)), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["web", ID])
def test_the_name_and_the_full_id_find_a_container(name: str) -> None:
    found = Podman().inspect(context(recorded("inspect-running.json")), name)
    assert found is not None and found.name == "web"


@pytest.mark.parametrize("name", [ID[:1], ID[:12], ID[:63], ID.upper(), "9_f0"])
def test_the_beginning_of_an_id_finds_none(name: str) -> None:
    assert Podman().inspect(context(recorded("inspect-running.json")), name) is None


def test_the_beginning_of_several_ids_finds_none() -> None:
    assert Podman().inspect(context("[]\n", SEVERAL, 125), "1") is None


def test_a_different_failure_is_one() -> None:
    with pytest.raises(CheckpointError) as caught:
        Podman().inspect(context("", "Error: database is locked\n", 125), "web")
    assert caught.value.reason == "tool_failed"


def last(steps: Any) -> Any:
    (step,) = steps
    assert isinstance(step, Command)
    return step.argv[-1]


def test_a_name_that_may_begin_an_id_is_in_no_command() -> None:
    engine, box = Podman(), named("cafe")
    assert last(engine.checkpoint_steps(box, Options(), None)) == ID
    assert last(engine.restore_steps(box, Options())) == ID
    assert last(engine.start_steps(box)) == ID
    assert last(engine.stop_steps(box, "stop")) == ID
    assert last(engine.remove_steps(box, "remove")) == ID
    assert last(engine.start_steps("cafe")) == "name=^cafe$"
    assert last(engine.stop_steps("cafe", "stop")) == "name=^cafe$"
    assert last(engine.remove_steps("cafe", "remove")) == "name=^cafe$"


def test_other_names_stay_readable() -> None:
    engine, box = Podman(), named("web")
    assert last(engine.checkpoint_steps(box, Options(), None)) == "web"
    assert last(engine.remove_steps("web", "remove")) == "web"


def test_exec_gets_an_address() -> None:
    engine = Podman()
    assert engine.address(context("never asked"), "web") == "web"
    entry = json.loads(recorded("inspect-running.json"))
    with pytest.raises(CheckpointError) as caught:
        engine.address(context(json.dumps(entry)), ID[:3])
    assert caught.value.reason == "container_missing"
    entry[0]["Name"] = ID[:3]
    assert engine.address(context(json.dumps(entry)), ID[:3]) == ID
