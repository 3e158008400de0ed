# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that the contract tests judge, each named by its place below plugins."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.criu.hosts.tests.unit.contracts.source_tree import ROOT, SourceTree

TREE = SourceTree()
BASE = ROOT / "plugins/module_utils"
UTILS = TREE.files("plugins/module_utils")
MODULES = TREE.files("plugins/modules")


def place(path: Path) -> str:
    """``_core/apply.py`` for plugins/module_utils/_core/apply.py; ``modules/NAME.py`` for a module."""
    return str(path.relative_to(BASE if path.is_relative_to(BASE) else ROOT / "plugins"))
