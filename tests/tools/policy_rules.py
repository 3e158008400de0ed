# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch off each rule of our policy module in turn, in enforcing mode, and record which case then fails.

policy_rules.py [--machine NAME] [--restart] [WORD]

A separate boolean guards each permission, so one policy serves all trials. First each rule is switched off in enforcing
mode for the case that is likely to need it. Then each case runs in permissive mode with every rule off, which shows the
accesses that it requests. Permissions that seem needless, because their first case passed or because no case requests
them, are then switched off together in enforcing mode, for every case; if a case fails, the rule responsible is
searched for. A boolean cannot switch transitions and file contexts: they are tried by giving the objects the labels
that they would have.

Every result is recorded at once in tests/policy/tried.jsonl, and the next call continues from there; --restart begins
again. --machine uses an enabled machine that is up and leaves it up; otherwise one is made. --page only writes the
page. WORD: only rules that contain it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Iterator

from common import BUILD, LAB, ROOT, ToolError, environment, main, say, venv_bin
from policy_trials import (
    ALL,
    CASES,
    NON_ROOT,
    SWITCHED,
    Kept,
    One,
    Part,
    by_rule,
    first_trials,
    render,
    suspects,
    together,
    variant,
    verdict,
)

NAME = "criu_hosts"
PAGE = ROOT / "docs/policy-rules.md"
POLICY = ROOT / "tests/policy"
PROCESSES = ROOT / "tests/testinfra/processes"
STORE = "/var/lib/selinux/default/criu-hosts.rules"
PRIORITY = "500"


class Machine:
    """The machine of the trials."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.config = str(BUILD / "lab/ssh_config")

    def ssh(self, *argv: str) -> str:
        """Run a command on it."""
        done = subprocess.run(
            ["ssh", "-F", self.config, self.name, *argv], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise ToolError(f"{argv[0]!r} failed on the machine, see above")
        return done.stdout

    def send(self, target: str, *paths: Path) -> None:
        """Copy files to it."""
        files = [str(path) for path in paths]
        subprocess.run(["scp", "-q", "-F", self.config, *files, f"{self.name}:{target}"], check=True)

    def _lines(self, *argv: str) -> Iterator[dict[str, Any]]:
        """Yield the lines that try_rules.py prints."""
        worker = ["ssh", "-F", self.config, self.name, "python3", "/var/lib/lab/try_rules.py", *argv]
        with subprocess.Popen(worker, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode:
            raise ToolError("the trial ended early, see above; the next call continues from here")

    def plan(self, what: str, plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Run a plan on it and yield the results."""
        switches = {name: NON_ROOT in one.rule.purposes for one in SWITCHED for name in one.booleans}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "plan.json"
            path.write_text(json.dumps({"booleans": switches, **plan}), encoding="utf-8")
            self.send("/var/lib/lab/plan.json", path)
        yield from self._lines(what, "/var/lib/lab/plan.json")


def make(name: str) -> None:
    """Boot a machine and enable it, for users as well."""
    say("A machine, made checkpoint-enabled")
    subprocess.run([sys.executable, str(LAB), "up", name], check=True)
    artifact = subprocess.run([sys.executable, str(LAB), "artifact"], check=True, stdout=subprocess.PIPE, text=True)
    argv = [f"{venv_bin()}/ansible-playbook", "-i", str(BUILD / "lab/inventory.yml"), "-l", name]
    argv += ["criu.hosts.enable_host", "-e", f"criu_artifact={artifact.stdout.split()[-1]}", "-e", "criu_non_root=true"]
    subprocess.run(argv, env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def prepare(machine: Machine) -> None:
    """Load the variant unless it is loaded; copy the programs, import the image, create the users."""
    machine.ssh("mkdir", "-p", STORE, "/var/lib/lab")
    text = variant()
    sign = hashlib.sha256(text.encode()).hexdigest()
    if machine.ssh("sh", "-c", f"'cat {STORE}/loaded || true'").strip() != sign:
        say("Our policy module with a boolean for each permission")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{NAME}.cil"
            path.write_text(text, encoding="utf-8")
            machine.send(f"{STORE}/{NAME}.cil", path)
        machine.ssh("semodule", "-X", PRIORITY, "-i", f"{STORE}/{NAME}.cil")
        machine.ssh("sh", "-c", f"'echo {sign} > {STORE}/loaded'")
    machine.send("/var/lib/lab/", POLICY / "try_rules.py", POLICY / "cases.py")
    machine.send("/usr/local/bin/without_root.py", PROCESSES / "without_root.py")
    machine.ssh("python3", "/usr/local/bin/without_root.py", "users")
    machine.ssh("chmod", "0755", "/usr/local/bin/without_root.py")
    machine.ssh("chcon", "--type", "container_file_t", "/var/lib/lab/workload.tar")
    if "lab-workload" not in machine.ssh("podman", "images"):
        machine.ssh("podman", "import", "--quiet", "/var/lib/lab/workload.tar", "lab-workload")


def put_back(machine: Machine) -> None:
    """Restore the machine's own policy."""
    machine.ssh("semodule", "-X", PRIORITY, "-r", NAME)
    machine.ssh("rm", "-r", STORE)


def try_all(machine: Machine, kept: Kept, word: str) -> None:
    """Run the trials that have no result yet."""
    began = time.monotonic()

    def run(what: str, plan: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        for entry in machine.plan(what, plan):
            kept.add(entry)
            found.append(entry)
            say(f"[{time.monotonic() - began:5.0f} s] {shown(entry)}")
        return found

    plan = sorted(first_trials(kept, word), key=lambda one: CASES.index(one["cases"][0]))
    say(f"{len(plan)} trials of single rules in enforcing mode")
    run("rules", {"trials": plan})
    if word:
        return
    left = [case for case in CASES if case not in kept.scans()]
    if left:
        say("The accesses that each case requests, in permissive mode with every rule off")
        run("scan", {"cases": left})
    say("Permissions that seem needless, all off at once")
    passed = [entry["key"] for entry in kept.entries if entry["kind"] == "rule" and not entry["failed"]]
    for case in CASES:
        while f"together: {case}" not in passed:
            parts = suspects(kept)
            if not run("rules", {"trials": [together(parts, case)]})[0]["failed"]:
                break
            blame(lambda plan: run("rules", plan)[0], by_rule(parts), case)


def blame(run: Callable[[dict[str, Any]], dict[str, Any]], rules: list[tuple[One, list[Part]]], case: str) -> None:
    """Find the rule whose absence, together with that of the rules before it, makes the case fail.

    Two rules may replace each other: then the later one is kept. The result of the last trial has its name.
    """
    good, bad = 0, len(rules)
    while bad - good > 1:
        middle = (good + bad) // 2
        off = [part for dummy, parts in rules[:middle] for part in parts]
        good, bad = (good, middle) if run({"trials": [together(off, case)]})["failed"] else (middle, bad)
    one = rules[bad - 1][0]
    off = [part for dummy, parts in rules[:bad] for part in parts]
    if not run({"trials": [{**together(off, case), "key": one.key}]})["failed"]:
        raise ToolError(f"{case} fails without {one.key}, and when tried again it does not")


def shown(entry: dict[str, Any]) -> str:
    """Return a result as one line."""
    if entry["kind"] == "scan":
        return f"{entry['case']}: requests {len(entry['asked'])}; {entry['why'] or 'passes'}"
    failed, logged = entry["failed"], entry["logged"]
    word = f"{failed['case']}: {failed['why'][:150]}" if failed else f"passes{', but logs' if logged else ''}"
    return f"{entry['key']}: {word}"


def work() -> int:
    """Try the rules; a rule whose removal breaks nothing is an error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--machine", default="")
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("word", nargs="?", default="")
    wanted = parser.parse_args()
    kept = Kept(wanted.restart)
    if not wanted.page:
        machine = Machine(wanted.machine or "rules")
        try:
            if not wanted.machine:
                make(machine.name)
            prepare(machine)
            try_all(machine, kept, wanted.word)
            if wanted.machine:
                put_back(machine)
        finally:
            if not wanted.machine:
                subprocess.run([sys.executable, str(LAB), "down", machine.name], check=False)
    PAGE.write_text(render(kept), encoding="utf-8")
    needless = [one.rule.text for one in ALL if verdict(kept, one)[0] == "none"]
    say(f"Rules that no case needs: {', '.join(needless) or 'none'}")
    return int(bool(needless))


if __name__ == "__main__":
    main(work)
