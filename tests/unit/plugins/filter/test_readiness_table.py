# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core 2.18 has plain text

    def trust_as_template(text: str) -> str:
        return text


from ansible_collections.criu.hosts.plugins.filter import readiness_table

TASK = {"name": "Load the policy for CRIU", "ansible.builtin.include_role": {"name": "criu.hosts.criu_selinux"}}
URL = "https://github.com/opencontainers/runc/issues/2009"


def reason(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {
        "code": code,
        "message": message,
        "level": "blocks",
        "advice": "Do it.",
        "task": None,
        "only_warns": [],
        "sources": [],
        **more,
    }


FOUND = {
    "path": "/usr/sbin/criu",
    "reasons": [
        reason("policy_missing", "No rules.", task=TASK, only_warns=["file_locks"]),
        reason("labels_lost", "No labels.", task=TASK),
        reason("rootless_unsupported", "Only root.", sources=[URL]),
        reason("kdat_stale", "Old.", level="warns"),
    ],
    "readiness": {
        "container": {"ready": False, "reasons": ["policy_missing", "labels_lost", "kdat_stale"]},
        "file_locks": {"ready": True, "reasons": ["policy_missing"]},
        "pre_dump": {"ready": None, "reasons": []},
        "rootless": {"ready": False, "reasons": ["rootless_unsupported"]},
    },
}
TABLE = f"""\
INTENT      READY  WHY
container   no     policy_missing labels_lost (kdat_stale)
file_locks  yes    (policy_missing)
pre_dump    ?
rootless    no     rootless_unsupported

policy_missing: No rules.
  Do it.
labels_lost: No labels.
  Do it.
rootless_unsupported: Only root.
  Do it.
  Known from {URL}
kdat_stale: Old.
  Do it."""


def table(*arguments: Any, **options: Any) -> str:
    return readiness_table.FilterModule().filters()["readiness_table"](*arguments, **options)


def test_table() -> None:
    assert table(FOUND) == TABLE


def test_tasks_are_each_given_once_and_can_be_put_into_a_play() -> None:
    text = table(FOUND, tasks=True)
    head, tasks = text.split("\n\nTASKS\n")
    assert head == TABLE and yaml.safe_load(tasks) == [TASK]


def test_values_as_ansible_hands_them_over() -> None:
    """Since ansible-core 2.19 the text of a result is not of type str, which PyYAML's own dumper refuses."""
    name = trust_as_template("Load the policy for CRIU")
    found = {
        "reasons": [reason("x", "y", task={**TASK, "name": name})],
        "readiness": {"container": {"ready": False, "reasons": ["x"]}},
    }
    assert yaml.safe_load(table(found, tasks=True).split("TASKS\n")[1]) == [TASK]


def test_a_host_with_nothing_to_do() -> None:
    found = {"reasons": [], "readiness": {"file_locks": {"ready": True, "reasons": []}}}
    assert table(found, tasks=True) == "INTENT      READY  WHY\nfile_locks  yes"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        [],
        {},
        {"readiness": None, "reasons": None},
        FOUND["readiness"],
        {"readiness": {"container": {}}, "reasons": []},
        {"readiness": {"container": {"ready": True, "reasons": ["x"]}}, "reasons": []},
    ],
    ids=lambda value: str(value)[:40],
)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(
        AnsibleFilterError, match=r"Cannot render the readiness: .* the module criu\.hosts\.criu_info returns"
    ):
        table(value)


def test_documentation_names_the_options() -> None:
    file = Path(readiness_table.__file__).with_suffix(".yml")
    described = yaml.safe_load(file.read_text(encoding="utf-8"))["DOCUMENTATION"]
    assert described["name"] == file.stem and set(described["options"]) == {"_input", "tasks"}
