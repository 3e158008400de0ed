# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the unit and contract tests with branch coverage, then those that meet ansible-core on the oldest one.

Plays that take minutes (marked long) run only when the arguments name them.

unit.py [PYTEST ARGUMENT...]    with arguments, run only these tests, without coverage
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import BUILD, RESULTS, Entry, Report, call, environment, junit_entry, main, venv_bin

GATE = 90
# The files that these tests load import nothing of ansible-core, but for module.py, which the tests of modules load.
FLOOR_LEAVES_OUT = ("--ignore=tests/unit/plugins/module_utils",)


def run(name: str, venv: str, arguments: list[str]) -> Entry:
    """Run pytest in one of the environments; return its counted results."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"{venv}-unit.xml"
    file.unlink(missing_ok=True)
    argv = [str(venv_bin(venv) / "python"), "-m", "pytest", f"--junit-xml={file}", *arguments]
    env = {**environment(venv), "COVERAGE_FILE": str(BUILD / "coverage")}
    seconds, rc = call(name, argv, env=env)
    files: list[Path] = [file] if file.exists() else []
    return junit_entry(name, files, seconds=seconds, rc=rc)


def work() -> int:
    """Run both, or the tests that the arguments name."""
    if sys.argv[1:]:
        return int(run("unit", "venv", sys.argv[1:]).failed > 0)
    report = Report("unit")
    coverage = [
        "--cov=ansible_collections.criu.hosts.plugins",
        "--cov-branch",
        "--continue-on-collection-errors",
        "--cov-report=term-missing:skip-covered",
        f"--cov-fail-under={GATE}",
    ]
    report.add(run("unit", "venv", ["tests/unit", "-m", "not long", *coverage]))
    report.add(
        run(
            "unit, oldest ansible-core",
            "venv-floor",
            ["tests/unit", "-m", "not slow and not long", "--continue-on-collection-errors", *FLOOR_LEAVES_OUT],
        )
    )
    return report.finish()


if __name__ == "__main__":
    main(work)
