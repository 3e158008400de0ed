# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of failures that the contract tests ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.tests.unit.contracts.call_graph import CallGraph
from ansible_collections.criu.hosts.tests.unit.contracts.failures import Unreadable, failures
from ansible_collections.criu.hosts.tests.unit.contracts.sample import make

ERRORS = """
class CheckpointError(Exception):
    def __init__(self, message, *, reason, **facts):
        self.reason = reason
        self.facts = facts

class CommandError(CheckpointError):
    def __init__(self, completed, message, *, reason="tool_failed", **facts):
        super().__init__(message, reason=reason, rc=completed.rc, **facts)

class Cause:
    why: str
    reason: str

def fail(what, reason="given", **facts):
    return CheckpointError(what, reason=reason, **facts)

def note(reason):
    print(reason)
"""


def found(folder: Path, body: str, rest: str = "") -> tuple[set[str], set[str]]:
    """The reasons and the facts of what main() with this body reaches."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    head = "from . import errors\nfrom .errors import CheckpointError, CommandError, Cause, fail, note\n"
    tree = make(folder, {"user": f"{head}\ndef main():\n{lines}\n{rest}", "errors": ERRORS})
    graph = CallGraph(tree)
    result = failures(graph, graph.reach(folder / "plugins/module_utils/user.py", "main"))
    return set(result.reasons), set(result.facts)


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ("raise CheckpointError('x', reason='one')", {"one"}),
        ("raise errors.CheckpointError('x', reason='one')", {"one"}),
        ("raise CheckpointError('x', reason='one' if a else 'two')", {"one", "two"}),
        ("raise CommandError(c, 'x', reason='one')", {"one", "tool_failed"}),
        ("raise CommandError(c, 'x')", {"tool_failed"}),
        ("raise fail('x', 'one')", {"one", "given"}),
        ("raise fail('x', reason='one')", {"one", "given"}),
        ("note('one')\nnote(reason=f())", set()),
        ("return Cause('x', 'one')", set()),
        ("cause = Cause('x', 'one')\nraise CheckpointError('x', reason=cause.reason)", {"one"}),
        ("raise CheckpointError('x', reason=error.reason)", set()),
        ("try:\n    raise CheckpointError('x', reason='one')\nexcept CheckpointError:\n    pass", set()),
        ("raise Own('x', reason='one')", {"one"}),
    ],
)
def test_reasons(tmp_path: Path, body: str, reasons: set[str]) -> None:
    assert found(tmp_path, body, "class Own(CheckpointError):\n    pass\n")[0] == reasons


def test_the_reason_of_a_class_counts_when_that_class_fails(tmp_path: Path) -> None:
    text = (
        "class File:\n    reason: str\n    def demand(self):\n        raise CheckpointError('x', reason=self.reason)\n"
    )
    assert found(tmp_path, "return File(reason='one')", text)[0] == set()
    assert found(tmp_path, "File(reason='one').demand()", text)[0] == {"one"}


FACTS = """
def read():
    return {'path': 1}

def more():
    return {'pid': 1}

def options(**kept):
    pass

def wrap(given):
    return CheckpointError('x', reason='one', **{**(given or {})})

class Log:
    log: dict

    def told(self, more):
        return CheckpointError('x', reason='one', **{**self.log, **more})
"""


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ("raise CheckpointError('x', reason='one', path=p, pid=1)", {"path", "pid"}),
        ("raise CommandError(c, 'x', path=p)", {"rc", "path"}),
        ("raise fail('x', 'one', path=p)", {"path"}),
        ("error.facts['path'] = 1\nerror.facts.setdefault('pid', []).append(1)", {"path", "pid"}),
        ("raise CheckpointError('x', reason='one', **{'path': p, **error.facts})", {"path"}),
        ("facts = {'path': p}\nfacts['pid'] = 1\nraise CheckpointError('x', reason='one', **facts)", {"path", "pid"}),
        ("a, facts = 1, {'path': p}\nraise CheckpointError('x', reason='one', **{**facts})", {"path"}),
        ("log = read()\nlog.update(more())\nraise CheckpointError('x', reason='one', **log)", {"path", "pid"}),
        ("raise wrap({'path': p})", {"path"}),
        ("raise wrap(None)", set()),
        ("raise Log({'path': p}).told({'pid': 1})", {"path", "pid"}),
        ("options(path=p)", set()),
    ],
)
def test_facts(tmp_path: Path, body: str, facts: set[str]) -> None:
    assert found(tmp_path, body, FACTS)[1] == facts


@pytest.mark.parametrize(
    "body",
    [
        "raise CheckpointError('x', reason=f'one_{a}')",
        "raise CheckpointError('x', reason=words[0])",
        "raise CheckpointError('x', reason=word)",
        "raise CheckpointError('x', reason='one', **unknown())",
        "raise CheckpointError('x', reason='one', **{key: 1})",
        "raise CheckpointError('x', reason='one', **facts)",
    ],
)
def test_a_failure_that_cannot_be_read_is_no_silent_gap(tmp_path: Path, body: str) -> None:
    with pytest.raises(Unreadable):
        found(tmp_path, body)
