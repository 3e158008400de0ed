# SPDX-License-Identifier: GPL-3.0-or-later
"""The graph of calls that the contract tests ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.tests.unit.contracts.call_graph import CallGraph
from ansible_collections.criu.hosts.tests.unit.contracts.sample import UTILS, make


def reached(folder: Path, user: str, **others: str) -> set[str]:
    """The units that main() of the file user reaches."""
    graph = CallGraph(make(folder, {"user": user, **others}))
    return {unit.name for unit in graph.reach(folder / "plugins/module_utils/user.py", "main")} - {"main"}


@pytest.mark.parametrize(
    "text",
    [
        "def main():\n    work()",
        "def main():\n    run(work)",
        "def main():\n    return [work for x in y]",
        "def main():\n    def inner():\n        work()\n    return inner",
        "def main():\n    return lambda: work()",
        "def main(how=work):\n    pass",
        "def main():\n    try:\n        work()\n    except OSError:\n        pass",
        "def main():\n    try:\n        work()\n    except CheckpointError:\n        raise",
        "def main():\n    try:\n        work()\n    except CheckpointError as error:\n        keep(error)",
        "def main():\n    try:\n        pass\n    except CheckpointError:\n        work()",
        "def main():\n    if isinstance(x, str):\n        work()",
    ],
)
def test_a_mention_is_a_call(tmp_path: Path, text: str) -> None:
    assert "work" in reached(tmp_path, f"{text}\n\ndef work():\n    pass\n")


@pytest.mark.parametrize(
    "text",
    [
        "def main():\n    pass",
        "def main(work):\n    work()",
        "def main():\n    work = 1\n    return work",
        "def main(x: work) -> work:\n    y: work = 1",
        "def main():\n    try:\n        work()\n    except CheckpointError:\n        pass",
        "def main():\n    try:\n        work()\n    except (A, CheckpointError) as error:\n        say(error.message)",
    ],
)
def test_other_uses_of_a_name_are_none(tmp_path: Path, text: str) -> None:
    assert "work" not in reached(tmp_path, f"{text}\n\ndef work():\n    pass\n")


@pytest.mark.parametrize(
    "text",
    [
        f"from {UTILS}.box import work\ndef main():\n    work()",
        f"from {UTILS}.box import work as w\ndef main():\n    w()",
        f"from {UTILS} import box\ndef main():\n    box.work()",
        f"from {UTILS} import box as b\ndef main():\n    return b.work",
        "from . import box\ndef main():\n    box.work()",
        "def main():\n    from .box import work\n    work()",
        "from .door import work\ndef main():\n    work()",
        "from . import door\ndef main():\n    door.work()",
    ],
)
def test_other_files_are_followed(tmp_path: Path, text: str) -> None:
    assert reached(tmp_path, text, box="def work():\n    pass\n", door="from .box import work") == {"work"}


def test_tables_are_reached_when_they_are_mentioned(tmp_path: Path) -> None:
    text = "def main():\n    return TABLE\n\nTABLE = {'a': work}\nOTHER = more\ndef work(): pass\ndef more(): pass\n"
    assert reached(tmp_path, text) == {"TABLE", "work"}


CLASSES = """
class Base:
    def shared(self):
        pass

class Tool(Base):
    def __init__(self):
        prepare()

    def used(self):
        self.inner()

    def inner(self):
        pass

    def unused(self):
        pass

class Other:
    def used(self):
        pass

def prepare():
    pass
"""


def test_methods_are_reached_by_name_when_their_class_is(tmp_path: Path) -> None:
    text = "def main(other: Other):\n    tool = Tool()\n    tool.used()\n    other.shared()\n"
    assert reached(tmp_path, text + CLASSES) == {
        *("Tool", "Tool.__init__", "prepare", "Tool.used", "Tool.inner", "Base", "Base.shared"),
    }


def test_a_class_in_isinstance_is_not_made(tmp_path: Path) -> None:
    guarded = "    if isinstance(x, Tool):\n        prepare()\n    elif isinstance(x, (Other, Base)):\n        more()\n"
    rest = f"{CLASSES}\ndef more():\n    pass\n\ndef make():\n    return Other()\n"
    assert reached(tmp_path, f"def main(x):\n{guarded}{rest}") == set()
    made = reached(tmp_path, f"def main(x):\n{guarded}    make()\n{rest}")
    assert made == {"make", "Other", "main[Other, line 4]", "more"}
    twice = (
        "    if isinstance(x, Other):\n        more()\n    if isinstance(x, Other):\n        prepare()\n    make()\n"
    )
    assert {"more", "prepare"} <= reached(tmp_path, f"def main(x):\n{twice}{rest}")
