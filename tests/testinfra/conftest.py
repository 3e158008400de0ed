# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the host tests, which run against the lab's machines and against any enabled host.

The tests that run playbooks need an inventory: CRIU_HOSTS_INVENTORY, by default the inventory of the lab.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def run_playbook(path: Path, inventory: Path, host: str, report: Path, **variables: str) -> dict[str, Any]:
    """Run a playbook that writes its observations to ``report``; return them, or show its output if it fails."""
    report.unlink(missing_ok=True)
    program = shutil.which("ansible-playbook")
    assert program, "ansible-playbook is not in PATH"
    argv = [program, "-i", str(inventory), "-l", host, str(path), "-e", f"matrix_report={report}"]
    for name, value in variables.items():
        argv += ["-e", f"{name}={value}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        # The output ends with the recap; the error follows the word fatal.
        fatal = done.stdout[max(done.stdout.find("fatal:"), 0) :][:4000]
        pytest.fail(f"{' '.join(argv)}\n{fatal}\n{done.stderr[-2000:]}", pytrace=False)
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def inventory() -> Path:
    return Path(os.environ.get("CRIU_HOSTS_INVENTORY", ROOT / ".build/lab/inventory.yml"))


@pytest.fixture(scope="module")
def seen_by(host: Any, inventory: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """``seen_by("matrix.yml")`` runs a playbook of the folder matrix on the host and returns its observations."""

    def run(name: str, **variables: str) -> dict[str, Any]:
        report = tmp_path_factory.mktemp("seen") / "report.json"
        return run_playbook(HERE / "matrix" / name, inventory, host.backend.get_hostname(), report, **variables)

    return run


@pytest.fixture(scope="module")
def matrix(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The observations of one run of all cases of the matrix on the host."""
    return seen_by("matrix.yml")


@pytest.fixture(autouse=True)
def journal_on_failure(request: pytest.FixtureRequest, host: Any) -> Any:
    """Print the end of the host's journal and audit log if a test fails."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        print(host.run("journalctl --no-pager --lines 15; tail -n 5 /var/log/audit/audit.log").stdout)
