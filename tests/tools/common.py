# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders, the environment, and functions that run and count checks, for the programs behind the Makefile."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Sequence
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
RESULTS = BUILD / "results"
HOME = BUILD / "home"
LAB = ROOT / "extensions/molecule/lab/lab.py"
NAMESPACE, NAME = "criu", "hosts"
LINK = BUILD / "ansible_collections" / NAMESPACE / NAME


# The machines of the scenarios that have others than one with the name of the scenario
MACHINES = {"plain_hosts": ("node-bookworm", "node-trixie")}


class ToolError(Exception):
    """An error for the person at the keyboard, in one line: why, and what to do."""


def say(text: str) -> None:
    """Print one progress line."""
    print(text, flush=True)


def machines_of(scenario: str) -> tuple[str, ...]:
    """Return the names of the machines of a scenario."""
    return MACHINES.get(scenario, (scenario.replace("_", "-"),))


def venv_bin(venv: str = "venv") -> Path:
    """Return the folder with the programs of a virtual environment."""
    return BUILD / venv / "bin"


def pip_settings() -> dict[str, str]:
    """Return the variable with which pip finds the user's settings although HOME is changed."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "pip/pip.conf"
    files = [file for file in (config, Path.home() / ".pip/pip.conf") if file.is_file()]
    return {"PIP_CONFIG_FILE": str(files[0])} if files and "PIP_CONFIG_FILE" not in os.environ else {}


def environment(venv: str = "venv") -> dict[str, str]:
    """Return the environment of every check: home and caches inside the build folder, a UTF-8 locale."""
    HOME.mkdir(parents=True, exist_ok=True)
    searched = [str(venv_bin(venv)), *os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"]
    # With PYTHONPYCACHEPREFIX and without this, every process would compile the standard library again.
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {
        **inherited,
        **pip_settings(),
        "ANSIBLE_COLLECTIONS_PATH": f"{BUILD}:{BUILD / 'collections'}",
        "ANSIBLE_HOME": str(BUILD / "ansible"),
        # git must trust a checkout that belongs to a different user, as in the containers of CI.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": str(ROOT),
        "HOME": str(HOME),
        "LC_ALL": "C.UTF-8",
        "PATH": ":".join(dict.fromkeys(folder for folder in searched if folder)),
        "PIP_CACHE_DIR": str(BUILD / "pip-cache"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPATH": str(BUILD),
        "PYTHONPYCACHEPREFIX": str(BUILD / "pycache"),
        "PYTHONUNBUFFERED": "1",
        "XDG_CACHE_HOME": str(BUILD / "cache"),
        "XDG_CONFIG_HOME": str(HOME / ".config"),
    }


def tracked_files() -> list[Path]:
    """Return the files of the collection, relative to its top: tracked files and new ones that are not ignored."""
    argv = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, env=environment(), check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted(Path(name) for name in listed.split("\0") if name and (ROOT / name).exists())


@dataclass
class Entry:
    """One check that was run, and its result."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass
class Report:
    """The results of one step, kept as .build/results/<step>.json for the summary at the end."""

    step: str
    entries: list[Entry] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return any(entry.failed for entry in self.entries)

    def check(self, name: str, argv: Sequence[str], *, cwd: Path = ROOT, **variables: str) -> Entry:
        """Run one check that passes or fails as a whole, with its output shown."""
        seconds, rc = call(name, argv, env={**environment(), **variables}, cwd=cwd)
        entry = Entry(name, passed=int(rc == 0), failed=int(rc != 0), seconds=seconds)
        self.add(entry)
        return entry

    def add(self, entry: Entry) -> None:
        """Record an entry and print its result."""
        self.entries.append(entry)
        word = "FAILED" if entry.failed else "ok"
        counts = f"{entry.passed} passed, {entry.failed} failed, {entry.skipped} skipped"
        say(f"-- {entry.name}: {word} ({counts}, {entry.seconds:.1f} s)")
        for note in entry.notes:
            say(f"   {note}")

    def finish(self) -> int:
        """Write the results; return the exit status of the step."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(entry) for entry in self.entries], indent=1)
        (RESULTS / f"{self.step}.json").write_text(text, encoding="utf-8")
        return int(self.failed or not self.entries)


def call(name: str, argv: Sequence[str], *, env: dict[str, str], cwd: Path = ROOT) -> tuple[float, int]:
    """Run a program with its output shown; return the seconds and the exit status."""
    say(f"-- {name}: {shlex.join(argv).replace(str(ROOT) + '/', '')[:140]}")
    began = time.monotonic()
    try:
        rc = subprocess.run(list(argv), env=env, cwd=cwd, stdin=subprocess.DEVNULL, check=False).returncode
    except OSError as error:
        say(f"   {argv[0]}: {error.strerror}")
        rc = 127
    return time.monotonic() - began, rc


def junit_entry(name: str, files: Sequence[Path], *, seconds: float, rc: int) -> Entry:
    """Count the test cases of JUnit files, and note why some did not run.

    A nonzero exit status without a failed case counts as a failure.
    """
    entry, skipped = Entry(name, seconds=seconds), dict[str, list[str]]()
    for file in files:
        for case in ElementTree.parse(file).iter("testcase"):
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                entry.failed += 1
                entry.notes.append(f"{case.get('classname', '')}.{case.get('name', '')}"[:200])
            elif "skipped" in kinds:
                entry.skipped += 1
                for child in case.iter("skipped"):
                    reason = (child.get("message") or child.text or "nothing to test").strip()
                    skipped.setdefault(reason, []).append(case.get("name") or "?")
            else:
                entry.passed += 1
    for reason, names in skipped.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        entry.notes.append(f"{reason} ({', '.join(names[:3])}{more})")
    if rc and not entry.failed:
        entry.failed = 1
        entry.notes.append(f"exit status {rc}")
    if not rc and not entry.passed + entry.failed:
        entry.failed = 1
        entry.notes.append("no test ran")
    return entry


CLOSING = re.compile(r"^=+ (?=.*\bin [0-9.]+s)(.*?) in [0-9.]+s.*=+$")
COLOR = re.compile(r"\x1b\[[0-9;]*m")


def pytest_counts(line: str) -> tuple[int, int, int] | None:
    """Return the counts of passed, failed and skipped from the last line of pytest; None for any other line."""
    found = CLOSING.match(COLOR.sub("", line).strip())
    if not found:
        return None
    counts = {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", found.group(1))}
    failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
    return counts.get("passed", 0), failed, counts.get("skipped", 0)


def main(work: object) -> None:
    """Run ``work`` as a program: its result is the exit status; a ToolError is printed in one line."""
    assert callable(work)
    try:
        sys.exit(work())
    except ToolError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
