# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman's recorded answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import (
    parse_image,
    parse_inspect,
    parse_statistics,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.tests.unit.containers import recorded


@pytest.mark.parametrize(
    ("case", "status", "checkpointed", "restored"),
    [
        pytest.param("running", "running", False, False, id="running"),
        pytest.param("checkpointed", "exited", True, False, id="checkpointed"),
        pytest.param("checkpointed-archive", "exited", True, False, id="checkpointed-to-an-archive"),
        pytest.param("restored", "running", False, True, id="restored"),
        pytest.param("after-disk-full", "exited", False, True, id="archive-not-written"),
    ],
)
def test_inspect(case: str, status: str, checkpointed: bool, restored: bool) -> None:
    found = parse_inspect(recorded(f"inspect-{case}.json"))
    assert (found.name, found.runtime, found.status, found.checkpointed) == ("web", "runc", status, checkpointed)
    assert bool(found.restored_at) is restored
    assert bool(found.pid) is found.running
    assert found.run == (found.restored_at or found.started_at)
    assert found.process_label.startswith("system_u:system_r:container_t:s0:c")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "[{}]", '[{"State": 5}]', "null", "5", '"a"', "[null]", "[[]]", "[" * 100_000, "[NaN]", "\0"],
)
def test_inspect_of_something_else(text: str) -> None:
    for parse in (parse_inspect, parse_image):
        with pytest.raises(CheckpointError) as caught:
            parse(text)
        assert caught.value.message.isprintable()


WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    1 << 70,
    1.5,
    "",
    "a\nb",
    "a\0",
    "../x",
    "\ud800",
    [],
    {},
    [1],
    [[]],
    {"a": []},
)


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Returns a copy of ``value`` with ``new`` at the place ``path``."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def places(value: Any) -> list[tuple[Any, ...]]:
    """Returns where something is in a parsed value."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, one in below for rest in places(one))]


def test_inspect_with_a_wrong_type_at_any_place() -> None:
    whole = json.loads(recorded("inspect-running.json"))
    refused = read = 0
    for place in places(whole):
        for new in WRONG:
            try:
                found = parse_inspect(json.dumps(changed(whole, place, new)))
            except CheckpointError as error:
                refused += error.message.isprintable() and error.reason == "tool_failed"
                continue
            read += 1
            assert all(isinstance(one, str) for one in (found.id, found.name, found.image, *found.volumes))
            assert all(isinstance(one, str) for one in (*found.labels.values(), *found.own.values()))
            assert 0 <= found.pid <= 1 << 22 and found.own["work_dir"][:5] in ("", "/var/")
    assert read > 0 and read + refused == len(places(whole)) * len(WRONG)


def test_statistics_with_a_wrong_type_at_any_place() -> None:
    for name in ("checkpoint-in-place.json", "restore-in-place.json"):
        whole = json.loads(recorded(name))
        for place in places(whole):
            for new in WRONG:
                found = parse_statistics(json.dumps(changed(whole, place, new)))
                assert all(isinstance(one, int) and one >= 0 for one in found.values())


def with_folder(folder: Any) -> str:
    entry = json.loads(recorded("inspect-running.json"))
    entry[0]["StaticDir"] = folder
    return json.dumps(entry)


@pytest.mark.parametrize("folder", ["relative", "../userdata", "/a/../b", 5, []])
def test_inspect_with_another_folder_than_that_of_the_container(folder: Any) -> None:
    with pytest.raises(CheckpointError, match="StaticDir"):
        parse_inspect(with_folder(folder))


@pytest.mark.parametrize("folder", [None, ""])
def test_without_the_folder_no_file_is_looked_for(folder: Any) -> None:
    """All files of the container would be those of our own working folder, and be removed there."""
    found, podman = parse_inspect(with_folder(folder)), Podman()
    assert podman.stamp(found) == podman.log_path(found, "restore") == ""
    for act in (
        podman.checkpoint_files,
        podman.images_dir,
        podman.outdated_records,
        lambda one: podman.losses(one, None),
    ):
        with pytest.raises(CheckpointError, match="StaticDir"):
            act(found)


@pytest.mark.parametrize(
    ("environment", "expected"), [(None, ()), (["A=1", "B=2"], ("A=1", "B=2"))], ids=["none", "two"]
)
def test_image(environment: Any, expected: tuple[str, ...]) -> None:
    assert parse_image(json.dumps([{"Id": "f00", "Config": {"Env": environment}}])).environment == expected


@pytest.mark.parametrize("entry", [{"Id": 5}, {"Id": "a", "Config": []}, {"Id": "a", "Config": {"Env": {"A": 1}}}, {}])
def test_image_of_something_else(entry: Any) -> None:
    with pytest.raises(CheckpointError, match="podman image inspect"):
        parse_image(json.dumps([entry]))


@pytest.mark.parametrize(
    ("labels", "unit"),
    [
        ({}, ""),
        ({"PODMAN_SYSTEMD_UNIT": "web.service"}, "web.service"),
        ({"criu.hosts.unit": "web.service", "PODMAN_SYSTEMD_UNIT": "other.service"}, "web.service"),
        ({"PODMAN_SYSTEMD_UNIT": "--host=root@evil.example"}, ""),
        ({"PODMAN_SYSTEMD_UNIT": "-Hroot@evil.example.service"}, ""),
        ({"criu.hosts.unit": "a b.service"}, ""),
        ({"criu.hosts.unit": "web.service\nx"}, ""),
        ({"criu.hosts.unit": "../web"}, ""),
        ({"criu.hosts.unit": "sshd.socket"}, ""),
        ({"criu.hosts.unit": "a" * 5000}, ""),
        ({"criu.hosts.unit": "\udcff.service"}, ""),
    ],
)
def test_the_manager_is_a_service_or_nothing(labels: dict[str, str], unit: str) -> None:
    container = replace(parse_inspect(recorded("inspect-running.json")), labels=labels)
    assert Podman().manager(container) == unit


def test_statistics_carry_units() -> None:
    assert parse_statistics(recorded("checkpoint-in-place.json")) == {
        "engine_microseconds": 5510116,
        "runtime_microseconds": 4289443,
        "freezing_microseconds": 118723,
        "frozen_microseconds": 1323983,
        "memory_dump_microseconds": 48445,
        "memory_write_microseconds": 28688,
        "scanned_pages": 1481,
        "written_pages": 1405,
    }
    assert parse_statistics(recorded("restore-in-place.json"))["restored_pages"] == 1405


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", {}, id="nothing"),
        pytest.param("[1]", {}, id="a-list"),
        pytest.param(
            json.dumps({"podman_restore_duration": 5, "container_statistics": None}),
            {"engine_microseconds": 5},
            id="failed",
        ),
    ],
)
def test_statistics_of_something_else(text: str, expected: dict[str, int]) -> None:
    assert parse_statistics(text) == expected


def test_flags_that_only_archives_know_are_left_out_in_place() -> None:
    found = parse_inspect(recorded("inspect-running.json"))
    options = Options(True, True, True, True, True, True, "gzip")
    common = ("podman", "container", "checkpoint", "--print-stats", "--keep", "--tcp-established", "--file-locks")
    (place,) = Podman().checkpoint_steps(found, options, None)
    assert isinstance(place, Command) and place.argv == (*common, "--leave-running", "web")
    (export,) = Podman().checkpoint_steps(found, options, "/a/.x.partial")
    assert isinstance(export, Command) and export.finish and export.creates_partial is None
    assert export.argv == (
        *common,
        "--ignore-rootfs",
        "--ignore-volumes",
        "--leave-running",
        "--export=/a/.x.partial",
        "--compress=gzip",
        "web",
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("import-truncated", "archive_invalid", id="truncated"),
        pytest.param("import-image-missing", "image_missing", id="image"),
        pytest.param("import-volume-exists", "volume_exists", id="volume"),
        pytest.param("checkpoint-auto-remove", "tool_failed", id="unknown"),
    ],
)
def test_cause(name: str, reason: str) -> None:
    cause = Podman().cause(Completed(("podman",), 125, "", recorded(f"{name}.txt")))
    assert cause.reason == reason
    assert "Error:" not in cause.why


def test_nothing_cuts_off_what_podman_changes() -> None:
    """Neither a signal to the task nor its end: each of these commands runs to its own end."""
    box, engine, options = parse_inspect(recorded("inspect-running.json")), Podman(), Options()
    steps = (
        *engine.checkpoint_steps(box, options, None),
        *engine.checkpoint_steps(box, options, "/a/.x.partial"),
        *engine.restore_steps(box, options),
        *engine.import_steps("/a/x", "runc", "web2", options),
        *engine.start_steps("web"),
        *engine.stop_steps("web", "stop"),
        *engine.remove_steps("web", "remove"),
        *engine.remove_volume_steps("data", "remove"),
    )
    assert [getattr(step, "finish", False) for step in steps] == [True] * 8
    assert not any(getattr(step, "creates_partial", None) for step in steps)
