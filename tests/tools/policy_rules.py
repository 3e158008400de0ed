# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch off each rule of our policy module in turn, in enforcing mode, and write which case then fails.

policy_rules.py [--machine NAME] [--anew] [WORD]

Each permission stands behind a boolean of its own, so that one policy serves all trials. First each case is run in
permissive mode with every rule off, which tells what it asks for; then each rule is switched off in enforcing mode for
the cases that ask for it, until one fails. What nothing fails without is tried with all cases. What a boolean cannot
switch, transitions and file contexts, is tried by giving the objects the labels that they would have.

Every result is kept at once in .build/results/policy-rules.jsonl, and the next call goes on from there; --anew begins
again. --machine uses an enabled machine that is up and leaves it up; else one is made. WORD: only rules with it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".build"))

from ansible_collections.criu.hosts.plugins.module_utils._policy import Parsed, Rule, parse_rule
from ansible_collections.criu.hosts.plugins.module_utils._policy_rules import (
    CONTAINER,
    CONTAINER_TYPES,
    DYNTRANS,
    NAME,
    RESTORE,
    RULES,
)
from common import BUILD, LAB, RESULTS, ROOT, ToolError, environment, main, say, venv_bin

PAGE = ROOT / "docs/policy-rules.md"
KEPT = RESULTS / "policy-rules.jsonl"
POLICY = ROOT / "tests/policy"
PROCESSES = ROOT / "tests/testinfra/processes"
STORE = "/var/lib/selinux/default/criu-hosts.rules"
PRIORITY = "500"
CONDITIONAL = ("allow", "dontaudit")
NON_ROOT = "non_root"
# The permissions that no case asks for, all off at once.
UNASKED = "every permission that no case asks for"

# What a boolean cannot switch: the objects, the types that they would have, and the case that shows it.
PLACES = {
    "var_run_t": ("/run", "var_run_t"),
    "tmpfs_t": ("/dev/shm", "user_tmpfs_t"),
    "var_lib_t": ("/var/lib", "var_lib_t"),
    "container_var_lib_t": ("/var/lib/containers/storage", "container_var_lib_t"),
    "var_t": ("/var/cache", "var_t"),
    "var_lock_t": ("/run/lock", "var_lock_t"),
}
PROGRAMS = {"conmon_exec_t": ("/usr/bin/conmon",), "container_engine_exec_t": ("/usr/sbin/runc", "/usr/bin/crun")}


@dataclass(frozen=True)
class One:
    """A rule taken apart; ``key`` names it for good."""

    rule: Rule
    parsed: Parsed

    @property
    def key(self) -> str:
        return (
            f"{self.rule.text} [{' '.join(self.rule.purposes)}{'; ' + self.rule.boolean if self.rule.boolean else ''}]"
        )

    def boolean(self, permission: str) -> str:
        """The boolean of one permission."""
        return f"criu_rule_{hashlib.sha256(self.key.encode()).hexdigest()[:8]}_{permission}"

    @property
    def booleans(self) -> list[str]:
        return [self.boolean(permission) for permission in self.parsed.permissions]

    def touches(self, source: str, target: str, class_name: str) -> bool:
        """Whether a denial is of this rule."""
        own_source, own_target = (CONTAINER_TYPES[0] if name == CONTAINER else name for name in self.parsed.types[:2])
        end = source if own_target == "self" else own_target
        return (own_source, self.parsed.class_name) == (source, class_name) and end in ("domain", target)

    def trial(self, off: Iterable[str]) -> dict[str, Any]:
        """What the machine needs to know of a trial of these permissions."""
        permissions = list(off)
        ends = [CONTAINER_TYPES[0] if name == CONTAINER else name for name in self.parsed.types[:2]]
        return {
            "key": self.key,
            "off": [self.boolean(permission) for permission in permissions],
            "labels": labels(self.parsed),
            "vectors": [[*ends, self.parsed.class_name, permissions]] if permissions else [],
        }


ALL = [One(rule, parse_rule(rule.text)) for rule in RULES]
SWITCHED = [one for one in ALL if one.parsed.kind in CONDITIONAL]


def labels(parsed: Parsed) -> list[list[str]]:
    """The objects of a rule that no boolean switches, with the type that they would have without it."""
    if parsed.kind == "range_transition":
        return [[path, "bin_t"] for path in PROGRAMS[parsed.types[1]]]
    if parsed.kind == "type_transition":
        folder, made = PLACES[parsed.types[1]]
        return [[f"{folder}/{parsed.rest.strip(chr(34))}", made]]
    if parsed.kind == "filecon" and "netavark|" in parsed.rest:
        return [["/usr/lib/podman/netavark", "lib_t"], ["/usr/lib/podman/aardvark-dns", "lib_t"]]
    return []


def variant() -> str:
    """Our module with each permission that can be conditional behind a boolean of its own."""
    lines = [f"(boolean {RESTORE} false)", f"(boolean {DYNTRANS} false)", f"(typeattribute {CONTAINER})"]
    lines.append(f"(typeattributeset {CONTAINER} ({' '.join(CONTAINER_TYPES)}))")
    for one in ALL:
        if one not in SWITCHED:
            lines.append(one.parsed.cil())
            continue
        source, target = one.parsed.types
        for permission in one.parsed.permissions:
            own = one.boolean(permission)
            when = f"(and {one.rule.boolean} {own})" if one.rule.boolean else own
            rule = f"({one.parsed.kind} {source} {target} ({one.parsed.class_name} ({permission})))"
            lines += [f"(boolean {own} true)", f"(booleanif {when} (true {rule}))"]
    return "\n".join(lines) + "\n"


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

    def lines(self, *argv: str) -> Iterator[dict[str, Any]]:
        """What try_rules.py prints, line after line."""
        worker = ["ssh", "-F", self.config, self.name, "python3", "/var/lib/lab/try_rules.py", *argv]
        with subprocess.Popen(worker, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode:
            raise ToolError("the trial ended early, see above; the next call goes on from here")

    def plan(self, what: str, plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Have it do what is planned."""
        switches = {name: NON_ROOT in one.rule.purposes for one in SWITCHED for name in one.booleans}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "plan.json"
            path.write_text(json.dumps({"booleans": switches, **plan}), encoding="utf-8")
            self.send("/var/lib/lab/plan.json", path)
        yield from self.lines(what, "/var/lib/lab/plan.json")


def make(name: str) -> None:
    """Boot a machine and enable it, for users as well."""
    say("A machine, made checkpoint-enabled")
    subprocess.run([sys.executable, str(LAB), "up", name], check=True)
    artifact = subprocess.run([sys.executable, str(LAB), "artifact"], check=True, stdout=subprocess.PIPE, text=True)
    argv = [f"{venv_bin()}/ansible-playbook", "-i", str(BUILD / "lab/inventory.yml"), "-l", name]
    argv += ["criu.hosts.enable_host", "-e", f"criu_artifact={artifact.stdout.split()[-1]}", "-e", "criu_non_root=true"]
    subprocess.run(argv, env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def prepare(machine: Machine) -> None:
    """Load the variant unless it is loaded; bring the programs, the image and the users."""
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
    """Have the machine's own policy again."""
    machine.ssh("semodule", "-X", PRIORITY, "-r", NAME)
    machine.ssh("rm", "-r", STORE)


class Kept:
    """The results so far."""

    def __init__(self, anew: bool) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        if anew:
            KEPT.unlink(missing_ok=True)
        lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else []
        self.entries = [json.loads(line) for line in lines]

    def add(self, entry: dict[str, Any]) -> None:
        """Keep it for good."""
        entry = {**entry, "date": time.strftime("%Y-%m-%d")}
        self.entries.append(entry)
        with KEPT.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(entry) + "\n")

    def of(self, kind: str, name: str = "case") -> dict[str, dict[str, Any]]:
        """The last result for each case or rule."""
        return {entry[name]: entry for entry in self.entries if entry["kind"] == kind}


def asked(kept: Kept, one: One) -> dict[str, list[str]]:
    """Each case that asked for the rule when it was off, with the permissions."""
    found: dict[str, list[str]] = {}
    for case, entry in kept.of("scan").items():
        names = {
            name for s, t, c, permissions in entry["asked"] if one.touches(s, t, c) for name in permissions.split()
        }
        if NON_ROOT in one.rule.purposes and not case.startswith("user-"):
            continue
        wanted = [name for name in one.parsed.permissions if name in names]
        if wanted:
            found[case] = wanted
    return found


def may_need(one: One, cases: Iterable[str]) -> list[str]:
    """The cases that a rule could be for, by its purposes."""
    ways = {
        "podman_units": ("unit-", "start-unit"),
        "root_shell": ("shell-", "start-shell"),
        "processes": ("process-",),
        NON_ROOT: ("user-",),
    }
    return [case for case in cases if any(case.startswith(ways[purpose]) for purpose in one.rule.purposes)]


def trials(kept: Kept, word: str) -> Iterator[dict[str, Any]]:
    """What is left to try, with its cases: first those that asked for it, then the others that may need it."""
    cases = [case for case, entry in kept.of("case").items() if not entry["why"]]
    done = kept.of("rule", "key")
    for one in ALL:
        if one.key in done or word not in one.rule.text:
            continue
        if one.parsed.kind in CONDITIONAL:
            first = [case for case in cases if case in asked(kept, one)]
            rest = [case for case in may_need(one, cases) if case not in first]
            yield {**one.trial(one.parsed.permissions), "cases": [*first, *rest]}
        elif labels(one.parsed):
            shell = one.parsed.kind == "range_transition"
            yield {**one.trial(()), "cases": ["shell-threads-runc"] if shell else ["start-unit", "unit-threads-runc"]}
    unasked = [(one, name) for one in SWITCHED for name in one.parsed.permissions if name not in every(kept, one)]
    if UNASKED not in done and not word and unasked:
        off = [one.boolean(name) for one, name in unasked]
        vectors = [vector for one, name in unasked for vector in one.trial([name])["vectors"]]
        yield {"key": UNASKED, "off": off, "labels": [], "vectors": vectors, "cases": cases}


def every(kept: Kept, one: One) -> set[str]:
    """The permissions of a rule that some case asks for."""
    return {name for names in asked(kept, one).values() for name in names}


def say_result(entry: dict[str, Any], began: float) -> None:
    failed, logged = entry.get("failed"), entry.get("logged")
    word = f"{failed['case']}: {failed['why'][:150]}" if failed else f"logged only: {logged}" if logged else "NOTHING"
    say(f"[{time.monotonic() - began:5.0f} s] {entry['key']}: {word}")


def try_all(machine: Machine, kept: Kept, word: str) -> None:
    """Run what has no result yet."""
    began = time.monotonic()
    if not kept.of("case"):
        say("Each case with every rule on")
        for entry in machine.lines("cases"):
            kept.add(entry)
            say(f"[{time.monotonic() - began:5.0f} s] {entry['case']}: {entry['why'] or 'passes'} {entry['denied']}")
    left = [case for case in kept.of("case") if case not in kept.of("scan")]
    if left:
        say("What each case asks for, in permissive mode with every rule off")
        for entry in machine.plan("scan", {"cases": left}):
            kept.add(entry)
            say(f"[{time.monotonic() - began:5.0f} s] {entry['case']}: {len(entry['asked'])} {entry['why']}")
    plan = list(trials(kept, word))
    say(f"{len(plan)} trials in enforcing mode")
    for entry in machine.plan("rules", {"trials": plan}):
        kept.add(entry)
        say_result(entry, began)


def verdict(entry: dict[str, Any]) -> tuple[str, str]:
    """The case that fails, and how."""
    if entry["failed"]:
        return entry["failed"]["case"], entry["failed"]["why"]
    if entry["logged"]:
        case = next(iter(entry["logged"]))
        return f"none; a denial is logged in {case}", entry["logged"][case]
    return "none", ""


def render(kept: Kept, where: str) -> str:
    """The page."""
    done = kept.of("rule", "key")
    found = [(one, done[one.key]) for one in ALL if one.key in done]
    hard = sum(1 for _, entry in found if entry["failed"])
    logged = sum(1 for _, entry in found if not entry["failed"] and entry["logged"])
    lines = [
        "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->",
        "# Each rule, and what fails without it",
        "",
        f"Written by `make rules` on {max(entry['date'] for _, entry in found)}, in enforcing mode, on {where}.",
        "Each rule was switched off by itself, and containers and processes were dumped and restored until one",
        f"failed. {len(found)} were tried. Without {hard} a case fails; {logged} only keep a denial out of the log;",
        f"{len(found) - hard - logged} are needed by no case. File contexts that `restorecon` reads were not tried.",
        "Transitions and the file context of netavark cannot be switched; their objects were given the label that",
        "they would have had.",
        "",
        "| Rule | While | First case that fails | How |",
        "| --- | --- | --- | --- |",
    ]
    for one, entry in found:
        case, why = verdict(entry)
        why = why.replace("|", "\\|").replace("`", "'")[:200]
        lines.append(f"| `{one.rule.text}` | {one.rule.boolean or 'always'} | {case} | {f'`{why}`' if why else ''} |")
    return "\n".join(lines) + "\n"


def work() -> int:
    """Try the rules; a rule whose removal breaks nothing is an error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--machine", default="")
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("word", nargs="?", default="")
    wanted = parser.parse_args()
    machine, kept = Machine(wanted.machine or "rules"), Kept(wanted.anew)
    try:
        if not wanted.machine:
            make(machine.name)
        prepare(machine)
        try_all(machine, kept, wanted.word)
        where = machine.ssh("sh", "-c", "'. /etc/os-release; echo $PRETTY_NAME, kernel $(uname -r)'").strip()
        if wanted.machine:
            put_back(machine)
    finally:
        if not wanted.machine:
            subprocess.run([sys.executable, str(LAB), "down", machine.name], check=False)
    done = kept.of("rule", "key")
    if all(one.key in done or (not labels(one.parsed) and one not in SWITCHED) for one in ALL):
        PAGE.write_text(render(kept, where), encoding="utf-8")
    needless = [one.rule.text for one in ALL if one.key in done and verdict(done[one.key])[0] == "none"]
    say(f"{len(done)} results, {len(needless)} of them needed by no case: {', '.join(needless) or 'none'}")
    return int(bool(needless))


if __name__ == "__main__":
    main(work)
