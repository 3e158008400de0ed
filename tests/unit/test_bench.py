# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that the programs of tests/bench find the names that they import from the collection."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "tests/bench"
if not BENCH.exists() or not (ROOT / ".build/ansible_collections").exists():
    pytest.skip("the measurements run in a checkout, which make links into .build", allow_module_level=True)


def printed(*argv: str) -> Any:
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_log_is_read_once():
    log = ROOT / "tests/unit/fixtures/audit/debian13-no-policy-unit.txt"
    seen = printed(str(BENCH / "denial_log.py"), "--look", str(ROOT / ".build"), str(log))
    assert seen["records"] >= seen["kinds"] > 0


def test_criu_info_runs_without_ansible():
    (seen,) = printed(str(BENCH / "info_seconds.py"), str(ROOT / ".build"), "1")
    assert seen["run"] > seen["tools"] >= 0
