# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that files, functions and modules are small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.tests.unit.contracts.layout import MODULES, TREE, UTILS, place

MODULE_LINES = 150
FUNCTION_LINES = 45
FILE_LINES = 350
# Tables.
TABLES = {"_criu/known_errors.py": 550, "_lsm/_selinux/policy/rules.py": 550}


def code_lines(text: str) -> int:
    """Counts lines of code, without blank lines, comments, docstrings, and the documentation of a module."""
    lines = text.splitlines()
    kept = {number for number, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Expr, ast.Assign)):
            names = {target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)}
            documents = isinstance(node, ast.Expr) or names & {"DOCUMENTATION", "EXAMPLES", "RETURN"}
            if documents and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                kept -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(kept)


def test_what_a_line_of_code_is() -> None:
    documented = '"""Docs."""\n\n# why\nRETURN = r"""\na: b\n"""\n'
    assert code_lines(documented) == 0
    assert code_lines(f'{documented}TEXT = """\ntwo\n"""\n\ndef f():\n    """Docs."""\n    return 1\n') == 5


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_a_module_is_short(path: Path) -> None:
    assert code_lines(path.read_text(encoding="utf-8")) <= MODULE_LINES


@pytest.mark.parametrize("path", UTILS, ids=place)
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= TABLES.get(place(path), FILE_LINES)
    functions = [
        node for node in ast.walk(TREE.parse(path)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    long = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES} == {}
