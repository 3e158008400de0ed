# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a Molecule scenario on machines of its own and count its actions and tests.

scenarios.py NAME    the name of the folder in extensions/molecule
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

from common import COLOR, LAB, ROOT, Entry, Report, environment, machines_of, main, pytest_counts, say, venv_bin

sys.path.insert(0, str(LAB.parent))

import native

DONE = re.compile(r"\[([\w-]+) > (\w+)\] Executed: (\w+)")
FAILED = re.compile(r"(?:FAILED|ERROR) (\S+::\S+)")


def work() -> int:
    """Run the scenario; remove its machines in any case."""
    name = sys.argv[1]
    machines = machines_of(name)
    report = Report(name)
    why_not = native.why_not() if any(native.is_node(machine) for machine in machines) else ""
    if why_not:
        report.add(Entry(f"scenario {name}", skipped=1, notes=[why_not]))
        return report.finish()
    argv = [f"{venv_bin()}/molecule", "test", "--scenario-name", name]
    env = {
        **environment(),
        "ANSIBLE_FORCE_COLOR": "0",
        "NO_COLOR": "1",
        "LAB_MACHINES": ",".join(machines),
        # Without it, create and destroy get the inventory of machines that do not exist, and Ansible warns.
        "MOLECULE_ANSIBLE_ARGS_STRICT_MODE": "1",
    }
    entry = Entry(f"scenario {name}")
    say(f"-- scenario {name}: molecule {' '.join(argv[1:])}")
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
        subprocess.run([sys.executable, str(LAB), "down", *machines], env=environment(), check=False)
    entry.seconds = time.monotonic() - began
    if rc and not entry.failed:
        entry.failed = 1
        entry.notes.append(f"exit status {rc}")
    if not rc and not entry.passed:
        entry.failed = 1
        entry.notes.append("no action and no test ran")
    report.add(entry)
    return report.finish()


def count(line: str, entry: Entry) -> None:
    """Add a finished action of the scenario, or the tests of a finished pytest run, to the entry."""
    tests = pytest_counts(line)
    if tests:
        entry.passed += tests[0]
        entry.failed += tests[1]
        entry.skipped += tests[2]
    plain = COLOR.sub("", line)
    test = FAILED.match(plain)
    if test:
        entry.notes.append(test.group(1)[:200])
    action = DONE.search(plain)
    if action and action.group(3) in ("Successful", "Failed"):
        entry.passed += action.group(3) == "Successful"
        if action.group(3) == "Failed":
            entry.failed += 1
            entry.notes.append(f"action {action.group(2)}")


if __name__ == "__main__":
    main(work)
