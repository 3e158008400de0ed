# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the remaining trials of the policy's rules, reads the results of the others, and renders the page."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".build"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "policy"))


from ansible_collections.criu.hosts.plugins.module_utils._host.names import DYNTRANS_BOOLEAN, RESTORE_BOOLEAN
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.generate import Parsed, Rule, parse_rule
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.rules import (
    CONTAINER,
    CONTAINER_TYPES,
    RULES,
)
from common import ROOT

# This file runs on the machine and has no annotations.
CASES: tuple[str, ...] = importlib.import_module("cases").CASES
KEPT = ROOT / "tests/policy/tried.jsonl"
CONDITIONAL = ("allow", "dontaudit")
NON_ROOT = "non_root"
USER = "user-"

# A boolean cannot switch transitions and file contexts: their objects, and the types these would have without them.
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
    """A parsed rule; ``key`` identifies it permanently."""

    rule: Rule
    parsed: Parsed

    @property
    def key(self) -> str:
        return (
            f"{self.rule.text} [{' '.join(self.rule.purposes)}{'; ' + self.rule.boolean if self.rule.boolean else ''}]"
        )

    def boolean(self, permission: str) -> str:
        """Return the boolean of one permission."""
        return f"criu_rule_{hashlib.sha256(self.key.encode()).hexdigest()[:8]}_{permission}"

    @property
    def booleans(self) -> list[str]:
        return [self.boolean(permission) for permission in self.parsed.permissions]

    def touches(self, source: str, target: str, class_name: str) -> bool:
        """Return whether the rule allows a denied access."""
        own_source, own_target = (CONTAINER_TYPES[0] if name == CONTAINER else name for name in self.parsed.types[:2])
        end = source if own_target == "self" else own_target
        return (own_source, self.parsed.class_name) == (source, class_name) and end in ("domain", target)

    @property
    def labels(self) -> list[list[str]]:
        """Return the objects of a rule that no boolean can switch, with the type that they would have without it."""
        parsed = self.parsed
        if parsed.kind == "range_transition":
            return [[path, "bin_t"] for path in PROGRAMS[parsed.types[1]]]
        if parsed.kind == "type_transition":
            folder, made = PLACES[parsed.types[1]]
            return [[f"{folder}/{parsed.rest.strip(chr(34))}", made]]
        if parsed.kind == "filecon" and "netavark|" in parsed.rest:
            return [["/usr/lib/podman/netavark", "lib_t"], ["/usr/lib/podman/aardvark-dns", "lib_t"]]
        return []

    def trial(self, off: Iterable[str]) -> dict[str, Any]:
        """Return the trial of these permissions as the machine reads it."""
        permissions = list(off)
        ends = [CONTAINER_TYPES[0] if name == CONTAINER else name for name in self.parsed.types[:2]]
        return {
            "key": self.key,
            "off": [self.boolean(permission) for permission in permissions],
            "labels": self.labels,
            "vectors": [[*ends, self.parsed.class_name, permissions]] if permissions else [],
        }


ALL = [One(rule, parse_rule(rule.text)) for rule in RULES]
SWITCHED = [one for one in ALL if one.parsed.kind in CONDITIONAL]


def variant() -> str:
    """Return our module with a separate boolean for each permission that can be conditional."""
    lines = [
        f"(boolean {RESTORE_BOOLEAN} false)",
        f"(boolean {DYNTRANS_BOOLEAN} false)",
        f"(typeattribute {CONTAINER})",
    ]
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


Part = tuple[One, str]  # one permission of a rule


class Kept:
    """The results so far, one per line of a file."""

    def __init__(self, restart: bool) -> None:
        if restart:
            KEPT.unlink(missing_ok=True)
        lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else []
        self.entries = [json.loads(line) for line in lines]

    def add(self, entry: dict[str, Any]) -> None:
        """Record a result in the file."""
        entry = {**entry, "date": time.strftime("%Y-%m-%d")}
        self.entries.append(entry)
        with KEPT.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(entry) + "\n")

    def scans(self) -> dict[str, dict[str, Any]]:
        """Return the accesses that each case requested."""
        return {entry["case"]: entry for entry in self.entries if entry["kind"] == "scan"}

    def trials(self) -> dict[str, dict[str, Any]]:
        """Return the result of each rule's own trial; a failure outranks later results."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self.entries:
            if entry["kind"] == "rule" and not (found.get(entry["key"]) or {}).get("failed"):
                found[entry["key"]] = entry
        return found


def asked(kept: Kept, one: One) -> dict[str, list[str]]:
    """Return each case that requested the rule when it was off, with the permissions."""
    found: dict[str, list[str]] = {}
    for case, entry in kept.scans().items():
        if (NON_ROOT in one.rule.purposes) is not case.startswith(USER):
            continue
        names = {
            name for s, t, c, permissions in entry["asked"] if one.touches(s, t, c) for name in permissions.split()
        }
        wanted = [name for name in one.parsed.permissions if name in names]
        if wanted:
            found[case] = wanted
    return found


def likely_case(one: One) -> str:
    """Return the cheapest case that is likely to need the rule."""
    if NON_ROOT in one.rule.purposes:
        return "user-confined" if "user_t" in one.rule.text else "user-unconfined"
    if "processes" in one.rule.purposes:
        return "process-unit" if "initrc_t" in one.rule.text else "process-shell"
    by = "unit" if "podman_units" in one.rule.purposes else "shell"
    if any(word in one.rule.text for word in ("conmon", "setsockcreate", "unconfined_t:fifo")):
        return f"podman-{by}"
    if "rawip_socket" in one.rule.text:
        return "unit-closed-crun"
    if "setgid" in one.rule.text:
        return "unit-user-crun"
    if one.rule.also == "established_tcp":
        return f"{by}-redis-crun" if by == "unit" else f"{by}-redis-runc"
    held = ("unix_", "udp_", ":fifo_file", "anon_inodefs", "tmpfs_t:file")
    return f"{by}-descriptors-crun" if any(word in one.rule.text for word in held) else THREADS[by]


THREADS = {"unit": "unit-threads-crun", "shell": "shell-threads-runc"}


def first_trials(kept: Kept, word: str) -> Iterator[dict[str, Any]]:
    """Yield a trial of each single rule with the case that is likely to need it."""
    done = kept.trials()
    for one in ALL:
        if one.key in done or word not in one.rule.text:
            continue
        if one.parsed.kind == "allow":
            yield {**one.trial(one.parsed.permissions), "cases": [likely_case(one)]}
        elif one.labels:
            yield {**one.trial(()), "cases": [place_case(one)]}


def place_case(one: One) -> str:
    """Return the case that uses the objects that a rule labels."""
    if one.parsed.kind == "range_transition":
        return "podman-shell"
    return "podman-unit-runc" if '"runc"' in one.rule.text else "podman-unit"


def suspects(kept: Kept) -> list[Part]:
    """Return the permissions that seem needless: unused ones, and all of a rule whose first case passes without it."""
    done, found = kept.trials(), []
    for one in SWITCHED:
        if one.parsed.kind != "allow":
            continue
        names = {name for names in asked(kept, one).values() for name in names}
        # No denial was logged: CRIU reports the failure, the kernel does not.
        needed = (names or one.parsed.permissions) if (done.get(one.key) or {}).get("failed") else ()
        found += [(one, name) for name in one.parsed.permissions if name not in needed]
    return found


def together(parts: Iterable[Part], case: str) -> dict[str, Any]:
    """Return a trial with all of them off: a case that passes it also passes with each single one off."""
    parts = list(parts)
    return {
        "key": f"together: {case}",
        "off": [one.boolean(name) for one, name in parts],
        "labels": [],
        "vectors": [vector for one, name in parts for vector in one.trial([name])["vectors"]],
        "cases": [case],
    }


def by_rule(parts: Iterable[Part]) -> list[tuple[One, list[Part]]]:
    """Return the parts grouped by rule."""
    found: dict[str, tuple[One, list[Part]]] = {}
    for one, name in parts:
        found.setdefault(one.key, (one, []))[1].append((one, name))
    return list(found.values())


NOT_TRIED = "not tested"
LONGEST = 200  # an error in the table
PASSES = "passes without it"


def verdict(kept: Kept, one: One) -> tuple[str, str]:
    """Return the case that fails without the rule and its error, or a word instead."""
    entry = kept.trials().get(one.key)
    if entry and entry["failed"]:
        return entry["failed"]["case"], entry["failed"]["why"]
    passed = {one["key"] for one in kept.entries if one["kind"] == "rule" and not one["failed"]}
    # A rule without an entry is newer than the trials.
    if entry and one.parsed.kind == "allow" and all(f"together: {case}" in passed for case in CASES):
        cases = asked(kept, one)
        return ("none", f"requested by {', '.join(cases)}, which all pass without it") if cases else ("none", "")
    if one.parsed.kind == "dontaudit":
        cases = asked(kept, one)
        return ("only silences", f"requested by {', '.join(cases)}") if cases else (NOT_TRIED, "")
    if entry:
        return f"{entry['tried'][-1]} {PASSES}", next(iter(entry["logged"].values()), "")
    return NOT_TRIED, ""


def last(kept: Kept) -> str:
    """Return the date of the newest result."""
    return str(max(entry["date"] for entry in kept.entries))


def render(kept: Kept) -> str:
    """Return the page."""
    found = [(one, *verdict(kept, one)) for one in ALL]
    tried = [case for dummy_rule, case, dummy_how in found if case != NOT_TRIED]
    hard = sum(1 for case in tried if case in CASES)
    lines = [
        "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->",
        "# Each rule, and the case that fails without it",
        "",
        "Written by `make rules`. It switches off one rule of the [policy module](selinux-policy.md) at a time, in",
        f"enforcing mode on the lab's machine (Debian 13), and runs a case. Last trial: {last(kept)}.",
        "",
        "A case dumps and restores a container or a process. The names of the [cases](../tests/policy/cases.py) begin",
        "with the caller: `unit` (Podman's domain), `shell` (a root shell), `podman` (`podman` commands in a unit or a",
        "shell), `process` (a service that CRIU restores), `user` (a process of an ordinary user).",
        "",
        f"Of {len(found)} rules, {hard} are needed by a case, {len(tried) - hard} were tested without a failure or",
        f"only silence denials, and {len(found) - len(tried)} were not tested. A rule is active always, or only while",
        "the boolean in the second column is on.",
        "",
        "| Rule | Active | Failing case | Error |",
        "| --- | --- | --- | --- |",
    ]
    for one, case, why in found:
        rule = one.rule.text.replace("|", "\\|")
        # A command of several lines must not end the row.
        why = " ".join(why.split()).replace("|", "\\|").replace("`", "'")
        short = why if len(why) <= LONGEST else f"{why[: LONGEST - 3]}..."
        lines.append(f"| `{rule}` | {one.rule.boolean or 'always'} | {case} | {f'`{short}`' if why else ''} |")
    return "\n".join(lines) + "\n"
