# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a scenario of molecule on a machine of its own and count what its verifier tested.

scenarios.py NAME    the folder's name in extensions/molecule
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

from common import COLOR, LAB, ROOT, Entry, Report, environment, main, pytest_counts, say, venv_bin

DONE = re.compile(r"\[([\w-]+) > (\w+)\] Executed: (\w+)")


def work() -> int:
    """Run it; whatever happens take the machine down."""
    name = sys.argv[1]
    machine = name.replace("_", "-")
    report = Report(name)
    argv = [f"{venv_bin()}/molecule", "test", "--scenario-name", name]
    env = {**environment(), "ANSIBLE_FORCE_COLOR": "0", "NO_COLOR": "1", "LAB_MACHINES": machine}
    entry = Entry(f"molecule, scenario {name}")
    say(f"-- molecule: {' '.join(argv[1:])}")
    began = time.monotonic()
    try:
        with subprocess.Popen(
            argv,
            env=env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout
            for line in process.stdout:
                print(line, end="", flush=True)
                count(line, entry)
        rc = process.returncode
    finally:
        subprocess.run([sys.executable, str(LAB), "down", machine], env=environment(), check=False)
    entry.seconds = time.monotonic() - began
    if rc and not entry.failed:
        entry.failed = 1
        entry.notes.append(f"exit status {rc}")
    if not rc and not entry.passed:
        entry.failed = 1
        entry.notes.append("nothing was tested")
    report.add(entry)
    return report.finish()


def count(line: str, entry: Entry) -> None:
    """Count a finished action of a scenario, and the tests of a verifier."""
    tests = pytest_counts(line)
    if tests:
        entry.passed += tests[0]
        entry.failed += tests[1]
        entry.skipped += tests[2]
    action = DONE.search(COLOR.sub("", line))
    if action and action.group(3) in ("Successful", "Failed"):
        entry.passed += action.group(3) == "Successful"
        entry.failed += action.group(3) == "Failed"


if __name__ == "__main__":
    main(work)
