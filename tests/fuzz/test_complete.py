# SPDX-License-Identifier: GPL-3.0-or-later
"""Demands a target for every function whose name says that it parses or reads."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ansible_collections.criu.hosts.tests.fuzz.targets import CASES, EXEMPT

ROOT = Path(__file__).parents[2] / "plugins"
READS = re.compile(r"(parse|read)(_\w+)?")


def readers() -> set[str]:
    """Returns the public functions called ``parse_*`` and ``read_*``, as the table names them."""
    found = set()
    folders = ("module_utils", "plugin_utils", "filter")
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        base = ROOT / "module_utils" if "module_utils" in path.parts else ROOT
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and READS.fullmatch(node.name):
                found.add(f"{path.relative_to(base).with_suffix('')}.{node.name}")
    return found


def test_every_reader_is_fed_or_has_a_reason() -> None:
    fed = {target.name for target in CASES}
    assert readers() - fed == set(EXEMPT)
    assert all(EXEMPT.values())
