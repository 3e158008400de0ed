# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the pure parts of tests/tools/hosts.py: which hosts it looks at, and what it takes for a problem."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "extensions/molecule/lab").exists():
    pytest.skip("the lab is not part of an installed collection", allow_module_level=True)
if sys.version_info < (3, 11):
    pytest.skip("the tools run on Python 3.11 and newer", allow_module_level=True)
sys.path.insert(0, str(ROOT / "tests/tools"))

import hosts  # noqa: E402
from kinds import KINDS, kind_of  # noqa: E402

PLAIN, ARMOR = kind_of("trixie-plain"), kind_of("bookworm-apparmor")
PERMISSIVE, REFUSED = kind_of("trixie-permissive"), kind_of("bookworm-enforcing")
ENFORCING = kind_of("demo")
SELINUX_LABEL, PROFILE = "system_u:system_r:container_t:s0:c1,c2", "containers-default-0.50.1 (enforce)"
GOOD = hosts.Played(0, "", 40, 0, 9)
RECAP = "host  : ok={} changed={} unreachable=0 failed=0 skipped=9 rescued=0 ignored=0\n"


def proof(runtime: str, word: str, label: str, **more: Any) -> dict[str, Any]:
    return {"runtime": runtime, "label_proof": word, "label_before": label, "label_after": label, **more}


def moment(label: str, count: int = 1) -> dict[str, Any]:
    return {"threads": [{"pid": 1, "tid": 1, "label": label}], "counters": {"0": count}}


def case(label: str, **more: Any) -> dict[str, Any]:
    return {"case": "unit-runc", "before": moment(label), "after": moment(label, 2), "after_import": {}, **more}


def test_every_machine_is_in_the_table_and_make_test_has_the_others() -> None:
    others = {name for name in KINDS if KINDS[name].image != "services"} - {"apparmor-host"}
    assert set(hosts.HOSTS) == others


@pytest.mark.parametrize(
    ("name", "serves"),
    [("trixie-plain", True), ("apparmor-host", True), ("trixie-permissive", False), ("bookworm-plain", False)],
)
def test_where_the_package_serves(name: str, serves: bool) -> None:
    assert hosts.package_serves(kind_of(name)) is serves


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("bookworm-enforcing", "refused"),
        ("bookworm-permissive", "refused"),
        ("bookworm-apparmor", "supported"),
        ("bookworm-plain", "supported"),
        ("trixie-permissive", "supported"),
    ],
)
def test_the_row_of_a_machine(name: str, level: str) -> None:
    assert hosts.row_for(kind_of(name)).level == level


def test_the_recap_is_that_of_the_last_play() -> None:
    played = hosts.parse_recap(0, RECAP.format(1, 1) + RECAP.format(31, 5))
    assert (played.ok, played.changed, played.skipped) == (31, 5, 9)
    assert hosts.parse_recap(4, "no hosts matched\n").ok == 0


@pytest.mark.parametrize(
    ("rc", "output", "changed", "starts", "problems"),
    [
        pytest.param(2, "fatal: it has none", 0, [(0, ""), (126, "")], [], id="refused"),
        pytest.param(0, "", 0, [(0, ""), (126, "")], ["enable_host succeeded"], id="not-refused"),
        pytest.param(2, "fatal: ssh", 0, [(0, ""), (126, "")], ["does not say why"], id="failed-otherwise"),
        pytest.param(2, "it has none", 3, [(0, ""), (126, "")], ["changed 3 things"], id="changed"),
        pytest.param(2, "it has none", 0, [(0, ""), (0, "")], ["is not true"], id="a-container-starts"),
        pytest.param(2, "it has none", 0, [(125, ""), (125, "")], ["cannot import"], id="nothing-was-shown"),
    ],
)
def test_a_refusal(rc: int, output: str, changed: int, starts: Any, problems: list[str]) -> None:
    row = hosts.Row(("Debian", "12"), "refused", "it has none")
    found = hosts.refusal_problems(row, hosts.Played(rc, output, 5, changed, 0), starts)
    assert len(found) == len(problems)
    assert all(word in text for word, text in zip(problems, found))


@pytest.mark.parametrize(
    ("kind", "second", "proofs", "problems"),
    [
        pytest.param(ARMOR, GOOD, [proof("runc", "apparmor", PROFILE)], [], id="debian-12-has-runc-only"),
        pytest.param(
            PLAIN, GOOD, [proof(one, "selinux_disabled", "") for one in ("runc", "crun")], [], id="without-labels"
        ),
        pytest.param(
            PERMISSIVE, GOOD, [proof("runc", "permissive", SELINUX_LABEL)], ["the self-test used"], id="no-crun"
        ),
        pytest.param(
            ARMOR, GOOD, [proof("runc", "selinux_disabled", PROFILE)], ["label_proof is selinux_disabled"], id="word"
        ),
        pytest.param(ARMOR, GOOD, [proof("runc", "apparmor", "unconfined")], ["the label was"], id="unconfined"),
        pytest.param(
            ARMOR,
            hosts.Played(0, "", 40, 2, 9),
            [proof("runc", "apparmor", PROFILE)],
            ["2 tasks changed"],
            id="second-run-changes",
        ),
    ],
)
def test_the_proofs(kind: Any, second: Any, proofs: Any, problems: list[str]) -> None:
    found = hosts.proof_problems(kind, second, proofs)
    assert len(found) == len(problems)
    assert all(word in text for word, text in zip(problems, found))


@pytest.mark.parametrize(
    ("kind", "seen", "problems"),
    [
        pytest.param(ARMOR, case(PROFILE), [], id="kept"),
        pytest.param(PLAIN, case(""), [], id="no-label-to-keep"),
        pytest.param(PLAIN, case("", after=moment("", 0)), ["its state was lost"], id="state"),
        pytest.param(ARMOR, case(PROFILE, after=moment("unconfined", 2)), ["other threads", "labels ["], id="label"),
        pytest.param(
            PERMISSIVE, case(SELINUX_LABEL, after_import=moment(SELINUX_LABEL, 0)), ["after_import: its"], id="archive"
        ),
    ],
)
def test_a_case(kind: Any, seen: dict[str, Any], problems: list[str]) -> None:
    found = hosts.case_problems(kind, seen)
    assert len(found) == len(problems)
    assert all(word in text for word, text in zip(problems, found))


@pytest.mark.parametrize(("kind", "denied"), [(ENFORCING, 1), (PERMISSIVE, 0), (PLAIN, 0)])
def test_denials_of_selinux_count_where_they_have_an_effect(kind: Any, denied: int) -> None:
    label = "" if kind is PLAIN else SELINUX_LABEL
    found = hosts.matrix_problems(kind, ["unit-runc"], {"cases": [case(label)], "denials": ["avc: denied"]})
    assert found == ["denied: avc: denied"] * denied


def test_a_case_that_did_not_run_is_a_problem() -> None:
    (problem,) = hosts.matrix_problems(PLAIN, ["unit-runc"], {"cases": [], "denials": []})
    assert "['unit-runc']" in problem


def test_the_table_has_columns() -> None:
    first, second = hosts.render_table([("bookworm-plain", "4.2.1", "runc", "selinux_disabled", "nothing", "300")])
    assert first.index("runtime") == second.index("runc")
