# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make demo` plans and prints, without a machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

TESTS = Path(__file__).parents[1]


@pytest.fixture(name="demo")
def demo_fixture(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TESTS / "tools"))
    for name in ("demo", "common"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import demo  # type: ignore[import-not-found]

    yield demo
    for name in ("demo", "common"):
        sys.modules.pop(name, None)


def test_commands_of_one_connection_answer_in_order(demo: Any) -> None:
    commands = [["printf", "no end of line"], ["sh", "-c", "echo out; echo 'it''s err' >&2; exit 3"], ["true"]]
    done = subprocess.run(["sh", "-c", demo.script(commands)], capture_output=True, text=True, check=True)
    assert demo.answers(done.stdout) == [(0, "no end of line"), (3, "out\nits err"), (0, "")]
    assert demo.answers("cut off") == []


def test_each_dump_follows_its_start(demo: Any) -> None:
    titles = [what for what, dummy_argv, dummy_why in demo.BEFORE]
    assert [title.rsplit(" ", 2)[1] for title in titles] == ["a", "checkpoints"] * 2
    assert [bool(why) for dummy_what, dummy_argv, why in demo.BEFORE] == [False, True] * 2


def test_the_times_add_up(demo: Any) -> None:
    assert demo.times([("one", 10.0), ("two", 75.0)], 200.0) == ["  01:05  one", "  02:05  two", "  03:10  all"]


@pytest.mark.parametrize(("usable", "expected"), [(True, "if a kernel boots with KVM here"), (False, "is emulated")])
def test_it_says_first_how_long_it_takes(
    demo: Any, monkeypatch: pytest.MonkeyPatch, usable: bool, expected: str
) -> None:
    monkeypatch.setattr(demo.os, "access", lambda dummy_path, dummy_mode: usable)
    assert expected in demo.expected() and "about 8 minutes" in demo.expected()


@pytest.mark.parametrize(("accel", "expected"), [("kvm", "runs with KVM: about 3"), ("tcg", "is emulated, since")])
def test_it_says_how_the_machine_runs(demo: Any, monkeypatch: pytest.MonkeyPatch, accel: str, expected: str) -> None:
    lines = ["other running kvm port=1 image-x", f"demo running {accel} port=2 image-x"]
    monkeypatch.setattr(demo, "lab", lambda dummy_command: lines)
    assert expected in demo.accelerator()


def test_the_cases_are_some_of_the_matrix(demo: Any) -> None:
    (play,) = yaml.safe_load((TESTS / "testinfra/matrix/matrix.yml").read_text(encoding="utf-8"))
    cases = {one["name"]: one for one in play["vars"]["matrix_cases"]}
    wanted = demo.CASES.split("|")
    assert [name for name in cases if name.startswith(tuple(wanted))] == wanted
    assert {cases[name]["runtime"] for name in wanted} == {"runc", "crun"}
    assert [name for name in wanted if name.startswith(demo.ARCHIVES) and cases[name]["archive"]] == ["threads-runc"]
    assert any(cases[name].get("tcp_established") for name in wanted)
    assert {"matrix_archives", "matrix_again"} <= set(play["vars"])
