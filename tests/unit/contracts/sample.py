# SPDX-License-Identifier: GPL-3.0-or-later
"""Small collections for the tests of the readers."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.criu.hosts.tests.unit.contracts.source_tree import SourceTree

UTILS = "ns.col.plugins.module_utils"


def make(folder: Path, texts: dict[str, str]) -> SourceTree:
    """A collection ns.col with these files (without .py) below plugins/module_utils."""
    for name, text in texts.items():
        path = folder / "plugins/module_utils" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return SourceTree(folder, "ns.col")
