# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checks that need no machine on a fresh Debian: in a minimal root file system, in a clone of HEAD.

fresh.py SUITE       all of them, some 30 minutes: bookworm or trixie
fresh.py --sample    a few of them, some minutes, in the suite that this machine is not on: part of `make test`

The root file system has git, make and python3, and what these need; `make deps` installs the rest. pip and apt get this
machine's settings: indexes, proxies and certificates. All mounts are in namespaces of their own, and the root file
system is removed at the end.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterable, Iterator

from common import BUILD, LAB, ROOT, Entry, Report, ToolError, call, environment, main, say, venv_bin

sys.path.insert(0, str(LAB.parent))

from base import LabError, lock
from base import run as run_logged
from lab import deps
from native import apt_settings

SUITES = ("bookworm", "trixie")
NEEDS = {"mmdebstrap": "mmdebstrap", "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg"}
PACKAGES = ("git", "make", "python3")
CLONE = "/root/hosts"
# All of it ends with this program, however that ends.
ISOLATED = "setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child".split()
# The checks of `make test` that need no machine
CHECKS = ("lint", "unit", "fuzz", "docs", "build", "sanity")
# What finds a missing package and a tool that does not work with the Python of the suite, in the fewest minutes
SAMPLE = (
    ("venv",),
    ("floor",),
    ("collections",),
    ("unit", "T=-q tests/unit/test_contracts*.py"),
    ("docs",),
    ("build",),
)
# A sample starts no other check after so many seconds: on a slow machine `make test` has no more time for it.
SAMPLE_SECONDS = 8 * 60
STARTED = time.monotonic()
NOT_IN_SAMPLE = "lint, sanity, fuzz and all unit tests but the contracts"
# The settings of pip, apt and TLS that a machine may have in its environment; pip's files are asked for with pip.
SETTINGS = re.compile(r"PIP_\w+|(?:https?|ftp|all|no)_proxy|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE", re.I)
OWN = ("PIP_CONFIG_FILE", "PIP_CACHE_DIR")
FILES = ("/etc/resolv.conf", "/etc/hosts")
CERTIFICATES = "/usr/local/share/ca-certificates"


def suite_of(words: list[str]) -> tuple[str, bool]:
    """Return the suite, and whether a sample is wanted, from the arguments."""
    if words == ["--sample"]:
        return other_suite(Path("/etc/os-release")), True
    if len(words) != 1 or words[0] not in SUITES:
        given = " ".join(words) or "no suite"
        raise ToolError(f"Cannot run on {given}: run make fresh SUITE={' or SUITE='.join(SUITES)}.")
    return words[0], False


def other_suite(release: Path) -> str:
    """Return the suite that this machine is not on; the newest if it is on neither."""
    text = release.read_text(encoding="utf-8") if release.exists() else ""
    return SUITES[0] if re.search(rf"^VERSION_CODENAME=\"?{SUITES[-1]}\b", text, re.MULTILINE) else SUITES[-1]


def settings() -> dict[str, str]:
    """Return the variables of this machine that lead pip and TLS to its indexes."""
    return {key: value for key, value in os.environ.items() if SETTINGS.fullmatch(key) and key not in OWN}


def pip_config(listed: str) -> str:
    """Return a configuration file of pip with the settings that ``pip config list`` printed."""
    sections: dict[str, list[str]] = {}
    for line in listed.splitlines():
        found = re.match(r"([a-z-]+)\.([a-z-]+)=(['\"].*)$", line)
        if found:
            value = "\n    ".join(str(ast.literal_eval(found.group(3))).split("\n"))
            sections.setdefault(found.group(1), []).append(f"{found.group(2)} = {value}\n")
    return "".join(f"[{name}]\n{''.join(lines)}" for name, lines in sections.items())


def named_paths(values: Iterable[str]) -> Iterator[Path]:
    """Yield the files and folders that settings name; of an index in a folder, the folder above, with its packages."""
    for word in (word for value in values for word in value.split()):
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.exists():
            yield path.parent if word.startswith("file://") and len(path.parts) > 2 else path


def apt_options(dump: str) -> list[str]:
    """Return the options of mmdebstrap that repeat the settings which ``apt-config dump`` printed."""
    return [f"--aptopt={line}" for line in apt_settings(dump)]


def asked(argv: list[str]) -> str:
    """Return what a program prints."""
    done = subprocess.run(argv, env=environment(), cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ToolError(f"{' '.join(argv)} failed with exit status {done.returncode}. See the output above.")
    return done.stdout


def make_root(root: Path, suite: str) -> None:
    """Install the smallest Debian with apt, and the packages without which nobody can start."""
    options = apt_options(asked(["apt-config", "dump"]))
    argv = ["mmdebstrap", "--mode=root", "--variant=apt", *options, f"--include={','.join(PACKAGES)}", suite, str(root)]
    run_logged(f"installing a fresh Debian {suite}, about 60 s", [*ISOLATED, "--mount-proc", *argv])


def add_settings(root: Path, config: str, paths: Iterable[Path]) -> None:
    """Copy what pip and TLS need from this machine."""
    (root / "etc/pip.conf").write_text(config, encoding="utf-8")
    for file in [Path(name) for name in FILES] + [path for path in paths if path.is_file()]:
        if file.exists():
            target = root / str(file).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(file, target)
    # The package ca-certificates, once installed, makes its file from these, too.
    if Path(CERTIFICATES).is_dir():
        shutil.copytree(CERTIFICATES, root / CERTIFICATES.lstrip("/"), dirs_exist_ok=True)


def clone(root: Path) -> None:
    """Clone HEAD; git must trust a checkout of a different user."""
    pack = "git -c safe.directory='*' upload-pack"
    target = root / CLONE.lstrip("/")
    asked(["git", "clone", "--quiet", "--no-local", "--upload-pack", pack, str(ROOT), str(target)])
    if asked(["git", "status", "--porcelain"]):
        say("-- this checkout has changes that are not committed: they are not tested")


def checks(sample: bool) -> list[tuple[str, list[str]]]:
    """Return the names and the commands of the checks."""
    first = ("deps", ["make", "deps"])
    if not sample:
        return [first, ("checks", ["python3", "tests/tools/run_all.py", *CHECKS])]
    return [first, *((words[0], ["make", *words]) for words in SAMPLE)]


def add_results(report: Report, folder: Path, suite: str) -> None:
    """Take up what the checks in the root counted."""
    for file in sorted(folder.glob("*.json")):
        for entry in json.loads(file.read_text(encoding="utf-8")):
            report.entries.append(Entry(**{**entry, "name": f"{suite}: {entry['name']}"}))


def run_checks(report: Report, root: Path, suite: str, sample: bool) -> None:
    """Run the checks in the root; after a setup that fails, nothing else."""
    variables = settings()
    config = pip_config(asked([str(venv_bin() / "python"), "-m", "pip", "config", "list"]))
    paths = list(dict.fromkeys(named_paths([*variables.values(), *config.splitlines()])))
    add_settings(root, config, paths)
    clone(root)
    cache = BUILD / "pip-cache"
    cache.mkdir(parents=True, exist_ok=True)
    enter = [*ISOLATED, "sh", f"{ROOT}/tests/tools/fresh.sh", str(root), CLONE, str(cache)]
    enter += [*(str(path) for path in paths if path.is_dir()), "--"]
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **variables}
    for name, argv in checks(sample):
        late = time.monotonic() - STARTED
        if sample and late > SAMPLE_SECONDS:
            why = f"slow machine: {late / 60:.0f} minutes have passed. Run make fresh SUITE={suite}"
            report.add(Entry(f"{suite}: {name}", skipped=1, notes=[why]))
            continue
        seconds, rc = call(f"{suite}: {name}", [*enter, *argv], env=env)
        report.add(Entry(f"{suite}: {name}", passed=int(rc == 0), failed=int(rc != 0), seconds=seconds))
        if rc and name in ("deps", "venv", "floor", "collections"):
            break
    add_results(report, root / CLONE.lstrip("/") / ".build/results", suite)


def remove(root: Path) -> None:
    """Remove a root file system. What was killed in it a moment ago may still write."""
    for pause in (0.5, 2, 8):
        shutil.rmtree(root, ignore_errors=True)
        if not root.exists():
            return
        time.sleep(pause)
    shutil.rmtree(root)


def stopped(number: int, dummy_frame: object) -> None:
    """Turn a signal into an exception, so that everything is removed."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def work() -> int:
    """Make the root, run the checks, remove the root."""
    suite, sample = suite_of(sys.argv[1:])
    if os.geteuid():
        raise ToolError("Cannot make a root file system: it needs namespaces and mounts. Run this as root.")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopped)
    root = BUILD / "fresh" / suite
    report = Report("fresh")
    try:
        deps(NEEDS)
        with lock("fresh.lock"):
            remove(root)
            root.parent.mkdir(parents=True, exist_ok=True)
            try:
                make_root(root, suite)
                run_checks(report, root, suite, sample)
            finally:
                remove(root)
    except LabError as error:
        raise ToolError(str(error)) from None
    if sample:
        why = f"{NOT_IN_SAMPLE} take too long on Debian {suite}. Run make fresh SUITE={suite}"
        report.add(Entry(f"{suite}: the rest", skipped=1, notes=[why]))
    say(f"fresh: Debian {suite} in {time.monotonic() - STARTED:.0f} s")
    return report.finish()


if __name__ == "__main__":
    main(work)
