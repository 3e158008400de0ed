# SPDX-License-Identifier: GPL-3.0-or-later
"""container_unit on a real host: a Quadlet and a plain unit, started, repeated, changed, refused and removed."""

from __future__ import annotations

from typing import Any, Callable

import pytest

NAMES = ("lab-quadlet", "lab-plain")
KINDS = dict(zip(NAMES, ("quadlet", "plain")))
# The arguments of the program in units.yml, which its text contains as well
WORDS = ['100% $HOME "quoted" \\ back', "$$", "%n"]
MEMORY = 128 << 20


@pytest.fixture(name="units", scope="module")
def units_fixture(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The observations of one run of units.yml."""
    return seen_by("../services/units.yml")


@pytest.fixture(name="name", params=NAMES)
def name_fixture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def started(units: dict[str, Any], name: str, moment: str) -> list[dict[str, Any]]:
    """Return the observations of the container's program, one entry per start."""
    found: list[dict[str, Any]] = units[moment]["units"][name]["starts"]
    return found


def test_check_mode_predicts_the_change(units: dict[str, Any]) -> None:
    predicted, real = units["predicted"], units["started"]
    assert predicted["changed"] and real["changed"]
    assert predicted["commands"] == real["commands"]
    assert predicted["diff"] == real["diff"]
    assert "Image=localhost/lab-workload" in real["diff"]["after"]["unit"]


def test_unit_runs(units: dict[str, Any], name: str) -> None:
    seen = units["running"]["units"][name]
    assert (seen["systemd"]["ActiveState"], seen["systemd"]["Type"]) == ("active", "notify")
    assert seen["container"]["status"] == "running"
    assert seen["container"]["comm"] == "conmon", "systemd's main process"


def test_a_second_run_changes_nothing(units: dict[str, Any]) -> None:
    assert [(one["changed"], one["commands"]) for one in units["again"]] == [(False, [])] * 2


def test_container_gets_every_word_unchanged(units: dict[str, Any], name: str) -> None:
    (seen,) = started(units, name, "running")
    assert seen["arguments"] == WORDS and seen["words"] == WORDS
    assert seen["environment"] == {"LAB_PASSWORD": 'correct-horse $HOME 100% "x"', "LAB_WORD": "web"}
    assert seen["secret"] == "correct-horse-battery"


def test_limits_hold(units: dict[str, Any], name: str) -> None:
    (seen,) = started(units, name, "running")
    assert seen["memory"] == str(MEMORY), "the limit in the container's own cgroup"
    assert int(seen["capabilities"], 16) == 0
    assert units["running"]["units"][name]["container"]["memory"] == MEMORY


def test_volumes_have_the_requested_label(units: dict[str, Any]) -> None:
    private, shared = (units["running"]["units"][name] for name in NAMES)
    assert private["label"] == private["container"]["mount"] and ":c" in private["label"]
    assert shared["label"] == "system_u:object_r:container_file_t:s0"


def test_health_is_watched(units: dict[str, Any]) -> None:
    assert units["after"]["units"]["lab-quadlet"]["container"]["health"] in ("starting", "healthy")
    assert not units["after"]["units"]["lab-plain"]["container"]["health"]


def test_a_change_restarts_the_container_once(units: dict[str, Any], name: str) -> None:
    seen = started(units, name, "after")
    assert len(seen) == 2 and seen[-1]["environment"] == {"LAB_WORD": "new"}
    after = units["after"]["units"][name]
    assert after["systemd"]["ActiveState"] == "active" and after["systemd"]["NRestarts"] == "0"
    for one in units["changed"]:
        verbs = [argv[1] for argv in one["commands"] if argv[0] == "systemctl"]
        assert verbs == ["daemon-reload", "restart"]


def test_a_refusal_of_the_generator_is_reported(units: dict[str, Any]) -> None:
    refused = units["refused"]
    assert refused["reason"] == "unit_refused"
    assert "nosuch.network" in refused["msg"] and "\n" not in refused["msg"]
    assert units["after"]["units"]["lab-quadlet"]["systemd"]["ActiveState"] == "active", "the old unit keeps running"


def test_only_root_can_read_secrets(units: dict[str, Any], name: str) -> None:
    files = units["running"]["files"][name]
    with_secret = {path: mode for path, (mode, secret) in files.items() if secret}
    assert with_secret == {f"/etc/criu-hosts/units/{name}.env": "0o600"}
    assert not units["gone"]["secret_in_journal"]
    for one in (units["started"], units["started_plain"], *units["changed"]):
        assert "correct-horse" not in str(one)


def test_info_lists_them(units: dict[str, Any]) -> None:
    found = {unit["name"]: unit for unit in units["listed"] if unit["name"] in NAMES}
    assert {name: unit["kind"] for name, unit in found.items()} == KINDS
    for unit in found.values():
        assert unit["state"] == "active" and unit["enabled"] and not unit["restart_due"]
        assert 0 < unit["memory_bytes"] < MEMORY


def test_nothing_is_left(units: dict[str, Any], name: str) -> None:
    assert all(one["changed"] for one in units["removed"])
    gone = units["gone"]
    assert gone["files"][name] == {} and name not in gone["containers"]
    assert gone["units"][name]["systemd"]["ActiveState"] == "inactive"
    assert gone["units"][name]["systemd"]["FragmentPath"] == ""
