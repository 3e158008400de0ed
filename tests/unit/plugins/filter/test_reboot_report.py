# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.filter import reboot_report, reboot_table

SAME = [
    {"tid": 1, "before": "system_u:system_r:container_t:s0:c1,c2", "after": "system_u:system_r:container_t:s0:c1,c2"}
]
OTHER = [*SAME, {"tid": 2, "before": "system_u:system_r:container_t:s0:c1,c2", "after": "system_u:system_r:init_t:s0"}]
DUMPED = {"action": "dumped", "began": 100.0, "seconds": 4.26, "size_bytes": 3 << 20, "why": None}
RESTORED = {
    "action": "restored",
    "began": 160.5,
    "seconds": 2.5,
    "label_proof": "enforcing",
    "labels": SAME,
    "size_bytes": 3 << 20,
    "why": None,
}
PLAN = {
    "stop": ["app", "redis"],
    "units": [
        {"name": "app", "expected": "restored"},
        {"name": "redis", "expected": "restored"},
        {"name": "plain", "expected": "fresh"},
    ],
}


def unit(name: str, last: Any, state: str = "active") -> dict[str, Any]:
    return {"name": name, "state": state, "last": last}


def report(after: Any, before: Any = None, state: str = "active") -> dict[str, Any]:
    """The row of app."""
    then = [unit("redis", DUMPED, "inactive"), unit("app", before or DUMPED, "inactive")]
    now = [unit("redis", RESTORED), unit("plain", None), unit("app", after, state)]
    rows: list[dict[str, Any]] = reboot_report.FilterModule().filters()["reboot_report"](now, plan=PLAN, stopped=then)
    assert [row["name"] for row in rows] == ["app", "redis"]
    assert rows[1]["problem"] == ""
    return rows[0]


def test_restored() -> None:
    assert report(RESTORED) == {
        "name": "app",
        "expected": "restored",
        "state": "active",
        "came_back": "restored",
        "labels": "same",
        "size_bytes": 3 << 20,
        "dump_seconds": 4.26,
        "restore_seconds": 2.5,
        "down_seconds": 63.0,
        "problem": "",
    }


PROBLEMS = [
    pytest.param({**RESTORED, "labels": OTHER}, "active", "its labels are changed", id="another-label"),
    pytest.param({**RESTORED, "label_proof": "label_unknown"}, "active", "its labels are not proved", id="no-proof"),
    pytest.param(
        {**RESTORED, "label_proof": "label_changed"}, "active", "its labels are changed", id="changed-it-says"
    ),
    pytest.param({**RESTORED, "label_proof": "selinux_disabled", "labels": []}, "active", "", id="no-selinux"),
    pytest.param({**RESTORED, "label_proof": "apparmor"}, "active", "", id="apparmor"),
    pytest.param({**RESTORED, "action": "fresh", "why": "no room"}, "active", "no room", id="fresh"),
    pytest.param({**RESTORED, "action": "fresh", "why": None}, "active", "it was not restored", id="fresh-unsaid"),
    pytest.param({**RESTORED, "action": "refused"}, "failed", "it is failed", id="refused"),
    pytest.param(DUMPED, "inactive", "it is inactive", id="never-started"),
    pytest.param(None, "active", "it was not restored", id="no-record"),
]


@pytest.mark.parametrize("after, state, problem", PROBLEMS)
def test_problems(after: Any, state: str, problem: str) -> None:
    row = report(after, state=state)
    assert row["problem"] == problem
    if after and after.get("label_proof") == "apparmor":
        assert row["labels"] == "same"
    if after and after.get("label_proof") == "selinux_disabled":
        assert row["labels"] == "none"
    if after is DUMPED:
        assert row["came_back"] is None and row["down_seconds"] is None


def test_a_clean_stop_has_no_dump() -> None:
    clean = {**DUMPED, "action": "clean_stop", "size_bytes": None, "why": "a file lock"}
    row = report({**RESTORED, "action": "fresh"}, before=clean)
    assert (row["dump_seconds"], row["restore_seconds"], row["down_seconds"]) == (None, None, 63.0)


@pytest.mark.parametrize("value", [[{}], None, 3], ids=str)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"Cannot report the reboot: .*Use the units of the module"):
        reboot_report.FilterModule().filters()["reboot_report"](value, plan=PLAN, stopped=[])


TABLES = [
    pytest.param([], "No units.", id="none"),
    pytest.param(
        [report(RESTORED), {**report({**RESTORED, "action": "fresh", "why": "no room"}), "name": "redis"}],
        """\
UNIT   STATE   EXPECTED  CAME BACK  LABELS  SIZE     DUMP   RESTORE  DOWN    PROBLEM
app    active  restored  restored   same    3.0 MiB  4.3 s  2.5 s    63.0 s
redis  active  restored  fresh      -       3.0 MiB  4.3 s  -        63.0 s  no room""",
        id="report",
    ),
    pytest.param(
        [
            {
                "name": "app",
                "expected": "lost",
                "memory_bytes": 1 << 20,
                "reasons": [{"code": "auto_remove", "message": "Made with --rm."}],
            },
            {"name": "cache", "expected": "fresh", "memory_bytes": None, "reasons": []},
        ],
        """\
UNIT   EXPECTED  MEMORY   WHY
app    lost      1.0 MiB  auto_remove
cache  fresh     -

app: Made with --rm.""",
        id="plan",
    ),
]


@pytest.mark.parametrize("rows, text", TABLES)
def test_table(rows: Any, text: str) -> None:
    assert reboot_table.FilterModule().filters()["reboot_table"](rows) == text


@pytest.mark.parametrize("value", [3, [None], [{"name": "a", "reasons": [{}]}]], ids=str)
def test_other_values_make_no_table(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"Cannot render the table: .*Use the units of the filter reboot_plan"):
        reboot_table.FilterModule().filters()["reboot_table"](value)


@pytest.mark.parametrize(
    "plugin, options",
    [(reboot_report, {"_input", "plan", "stopped"}), (reboot_table, {"_input"})],
    ids=["report", "table"],
)
def test_documentation_names_the_options(plugin: Any, options: set[str]) -> None:
    file = Path(plugin.__file__).with_suffix(".yml")
    described = yaml.safe_load(file.read_text(encoding="utf-8"))["DOCUMENTATION"]
    assert described["name"] == file.stem and set(described["options"]) == options
