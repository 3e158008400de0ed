# SPDX-License-Identifier: GPL-3.0-or-later
"""Which trials of our policy's rules are left, what came of those that were made, and the page about it."""

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


from ansible_collections.criu.hosts.plugins.module_utils._host.names import DYNTRANS, RESTORE
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.generate import Parsed, Rule, parse_rule
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.rules import (
    CONTAINER,
    CONTAINER_TYPES,
    RULES,
)
from common import ROOT

# What runs on the machine, and has no annotations.
CASES: tuple[str, ...] = importlib.import_module("cases").CASES
KEPT = ROOT / "tests/policy/tried.jsonl"
CONDITIONAL = ("allow", "dontaudit")
NON_ROOT = "non_root"
USER = "user-"

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

    @property
    def labels(self) -> list[list[str]]:
        """The objects of a rule that no boolean switches, with the type that they would have without it."""
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
        """What the machine needs to know of a trial of these permissions."""
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


Part = tuple[One, str]  # one permission of a rule


class Kept:
    """The results so far, each a line of a file."""

    def __init__(self, anew: bool) -> None:
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

    def scans(self) -> dict[str, dict[str, Any]]:
        """What each case asked for."""
        return {entry["case"]: entry for entry in self.entries if entry["kind"] == "scan"}

    def trials(self) -> dict[str, dict[str, Any]]:
        """What came of each rule's own trial; a failure counts more than what came later."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self.entries:
            if entry["kind"] == "rule" and not (found.get(entry["key"]) or {}).get("failed"):
                found[entry["key"]] = entry
        return found


def asked(kept: Kept, one: One) -> dict[str, list[str]]:
    """Each case that asked for the rule when it was off, with the permissions."""
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
    """The cheapest case that is likely to need the rule."""
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
    """Each rule by itself, with the case that is likely to need it."""
    done = kept.trials()
    for one in ALL:
        if one.key in done or word not in one.rule.text:
            continue
        if one.parsed.kind == "allow":
            yield {**one.trial(one.parsed.permissions), "cases": [likely_case(one)]}
        elif one.labels:
            yield {**one.trial(()), "cases": [place_case(one)]}


def place_case(one: One) -> str:
    """The case that uses the objects whose label a rule gives."""
    if one.parsed.kind == "range_transition":
        return "podman-shell"
    return "podman-unit-runc" if '"runc"' in one.rule.text else "podman-unit"


def suspects(kept: Kept) -> list[Part]:
    """The permissions that seem needless: of rules that their first case does without, and what no case asks for."""
    done, found = kept.trials(), []
    for one in SWITCHED:
        if one.parsed.kind != "allow":
            continue
        names = {name for names in asked(kept, one).values() for name in names}
        # Where none was logged, CRIU tells of it and the kernel does not.
        needed = (names or one.parsed.permissions) if (done.get(one.key) or {}).get("failed") else ()
        found += [(one, name) for name in one.parsed.permissions if name not in needed]
    return found


def together(parts: Iterable[Part], case: str) -> dict[str, Any]:
    """All of them off at once: what passes so, passes with each of them off."""
    parts = list(parts)
    return {
        "key": f"together: {case}",
        "off": [one.boolean(name) for one, name in parts],
        "labels": [],
        "vectors": [vector for one, name in parts for vector in one.trial([name])["vectors"]],
        "cases": [case],
    }


def by_rule(parts: Iterable[Part]) -> list[tuple[One, list[Part]]]:
    """The parts, rule by rule."""
    found: dict[str, tuple[One, list[Part]]] = {}
    for one, name in parts:
        found.setdefault(one.key, (one, []))[1].append((one, name))
    return list(found.values())


NOT_TRIED = "not tried yet"
PASSES = "goes on without"


def verdict(kept: Kept, one: One) -> tuple[str, str]:
    """The case that fails without the rule and how, or a word in its place."""
    entry = kept.trials().get(one.key)
    if entry and entry["failed"]:
        return entry["failed"]["case"], entry["failed"]["why"]
    passed = {one["key"] for one in kept.entries if one["kind"] == "rule" and not one["failed"]}
    if one.parsed.kind == "allow" and all(f"together: {case}" in passed for case in CASES):
        cases = asked(kept, one)
        return ("none", f"asked for by {', '.join(cases)}, which all go on without") if cases else ("none", "")
    if one.parsed.kind == "dontaudit":
        cases = asked(kept, one)
        return ("silences only", f"asked for by {', '.join(cases)}") if cases else (NOT_TRIED, "")
    if entry:
        return f"{entry['tried'][-1]} {PASSES}", next(iter(entry["logged"].values()), "")
    return NOT_TRIED, ""


def render(kept: Kept) -> str:
    """The page."""
    found = [(one, *verdict(kept, one)) for one in ALL]
    tried = [case for dummy_rule, case, dummy_how in found if case != NOT_TRIED]
    hard = sum(1 for case in tried if case in CASES)
    lines = [
        "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->",
        "# Each rule, and what fails without it",
        "",
        f"Written by `make rules`, last tried on {max(entry['date'] for entry in kept.entries)}, in enforcing mode,",
        "on the lab's machine (Debian 13).",
        "Each rule was switched off by itself while a container or a process was dumped and restored. The cases are in",
        "[cases.py](../tests/policy/cases.py): `unit` is Podman's domain, `shell` a root shell, `podman` the same by",
        "Podman itself, `process` a service that CRIU restores, `user` a user's own process.",
        "",
        f"{len(found)} rules: without {hard} of them a case was seen to fail; {len(tried) - hard} more were tried;",
        f"{len(found) - len(tried)} were not tried yet. `while` is the boolean that a rule stands behind.",
        "",
        "| Rule | While | Case that fails | How |",
        "| --- | --- | --- | --- |",
    ]
    for one, case, why in found:
        why = why.replace("|", "\\|").replace("`", "'")[:200]
        lines.append(f"| `{one.rule.text}` | {one.rule.boolean or 'always'} | {case} | {f'`{why}`' if why else ''} |")
    return "\n".join(lines) + "\n"
