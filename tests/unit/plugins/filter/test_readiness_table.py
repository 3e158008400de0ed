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
        "source": None,
        **more,
    }


NO_POLICY = reason("policy_missing", "No rules.", task=TASK)
FOUND = {
    "path": "/usr/sbin/criu",
    "readiness": {
        "container": {"ready": False, "reasons": [NO_POLICY, reason("kdat_stale", "Old.", level="warns")]},
        "file_locks": {"ready": True, "reasons": []},
        "pre_dump": {"ready": None, "reasons": [NO_POLICY]},
        "rootless": {"ready": False, "reasons": [reason("rootless_unsupported", "Only root.", source=URL)]},
    },
}
TABLE = f"""\
INTENT      READY  WHY
container   no     policy_missing (kdat_stale)
file_locks  yes
pre_dump    ?      policy_missing
rootless    no     rootless_unsupported

policy_missing: No rules.
  Do it.
kdat_stale: Old.
  Do it.
rootless_unsupported: Only root.
  Do it.
  Known from {URL}"""


def table(*arguments: Any, **options: Any) -> str:
    return readiness_table.FilterModule().filters()["readiness_table"](*arguments, **options)


def test_table() -> None:
    assert table(FOUND) == TABLE
    assert table(FOUND["readiness"]) == TABLE


def test_tasks_are_each_given_once_and_can_be_put_into_a_play() -> None:
    text = table(FOUND, tasks=True)
    head, tasks = text.split("\n\nTASKS\n")
    assert head == TABLE and yaml.safe_load(tasks) == [TASK]


def test_values_as_ansible_hands_them_over() -> None:
    """Since ansible-core 2.19 the text of a result is not of type str, which PyYAML's own dumper refuses."""
    name = trust_as_template("Load the policy for CRIU")
    found = {"container": {"ready": False, "reasons": [reason("x", "y", task={**TASK, "name": name})]}}
    assert yaml.safe_load(table(found, tasks=True).split("TASKS\n")[1]) == [TASK]


def test_a_host_with_nothing_to_do() -> None:
    assert (
        table({"file_locks": {"ready": True, "reasons": []}}, tasks=True) == "INTENT      READY  WHY\nfile_locks  yes"
    )


@pytest.mark.parametrize(
    "value", [None, "x", [], {}, {"readiness": None}, {"container": True}, {"container": {}}], ids=str
)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"Cannot render the readiness: .*Use the key criu"):
        table(value)


def test_documentation_names_the_options() -> None:
    file = Path(readiness_table.__file__).with_suffix(".yml")
    described = yaml.safe_load(file.read_text(encoding="utf-8"))["DOCUMENTATION"]
    assert described["name"] == file.stem and set(described["options"]) == {"_input", "tasks"}
