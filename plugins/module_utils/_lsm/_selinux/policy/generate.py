# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Generates our policy module for a host: selects the rules that its policy supports, and renders them in CIL. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Iterable, Mapping, Protocol

_VECTOR = re.compile(r"(allow|dontaudit) (\w+) (\w+):(\w+) \{ ([\w ]+) \}")
_RANGE = re.compile(r"range_transition (\w+) (\w+):(\w+) (\w+)")
_TYPE = re.compile(r'type_transition (\w+) (\w+):(\w+) (\w+) ("[^"]+")')
_FILE = re.compile(r'filecon ("[^"]+") (\w+) (\w+)')


class Policy(Protocol):
    """The policy of a host, as far as rules depend on it."""

    def has_type(self, name: str) -> bool:
        """Returns whether it has a type or attribute of this name."""

    def permissions(self, class_name: str) -> frozenset[str]:
        """Returns the permissions of a class; none if it has no such class."""

    def has_boolean(self, name: str) -> bool:
        """Returns whether it has, apart from our own module, a boolean of this name."""


@dataclass(frozen=True)
class Rule:
    """One rule of the policy language with its reason; ``denied`` is the recorded denial, if there is one.

    It is for any of ``purposes``, but only with ``also``; with ``boolean`` it applies only while that is on.
    """

    text: str
    why: str
    denied: str = ""
    title: str = ""
    purposes: tuple[str, ...] = ()
    also: str = ""
    boolean: str = ""

    def wanted(self, purposes: Iterable[str]) -> bool:
        """Returns whether one of the ``purposes`` needs it."""
        asked = set(purposes)
        return bool(asked & set(self.purposes)) and (not self.also or self.also in asked)


def rules(purposes: str, title: str, *members: Rule, also: str = "", boolean: str = "") -> tuple[Rule, ...]:
    """Returns the rules with these shared properties."""
    wanted_by = tuple(purposes.split())
    return tuple(replace(one, title=title, purposes=wanted_by, also=also, boolean=boolean) for one in members)


@dataclass(frozen=True)
class Parsed:
    """A parsed rule. ``types`` are all types in it, ``class_name`` is a kind of file for a file context."""

    kind: str
    types: tuple[str, ...]
    class_name: str = ""
    permissions: tuple[str, ...] = ()
    rest: str = ""

    def cil(self) -> str:
        """Renders the statement in CIL."""
        if self.kind in ("allow", "dontaudit"):
            source, target = self.types
            return f"({self.kind} {source} {target} ({self.class_name} ({' '.join(self.permissions)})))"
        if self.kind == "range_transition":
            source, target = self.types
            return f"(rangetransition {source} {target} {self.class_name} (({self.rest}) ({self.rest})))"
        if self.kind == "type_transition":
            source, target, made = self.types
            return f"(typetransition {source} {target} {self.class_name} {self.rest} {made})"
        return f"(filecon {self.rest} {self.class_name} (system_u object_r {self.types[0]} ((s0) (s0))))"


def parse_rule(text: str) -> Parsed:
    """Parses a rule.

    Raises:
        ValueError: it is not one of the kinds that we use.
    """
    found = _VECTOR.fullmatch(text)
    if found:
        kind, source, target, class_name, permissions = found.groups()
        return Parsed(kind, (source, target), class_name, tuple(permissions.split()))
    found = _RANGE.fullmatch(text)
    if found:
        source, target, class_name, level = found.groups()
        return Parsed("range_transition", (source, target), class_name, rest=level)
    found = _TYPE.fullmatch(text)
    if found:
        source, target, class_name, made, name = found.groups()
        return Parsed("type_transition", (source, target, made), class_name, rest=name)
    found = _FILE.fullmatch(text)
    if found:
        pattern, class_name, made = found.groups()
        return Parsed("filecon", (made,), class_name, rest=pattern)
    raise ValueError(f"not a rule that we know: {text}")


@dataclass(frozen=True)
class Made:
    """The module for a host: the rules that its policy supports, and for each other rule the name that it lacks."""

    purposes: tuple[str, ...]
    provided: tuple[str, ...] = ()
    kept: tuple[tuple[Rule, Parsed], ...] = ()
    left_out: tuple[tuple[Rule, str], ...] = ()
    declared: tuple[str, ...] = ()
    container_types: tuple[str, ...] = ()
    attribute: str = ""

    def text(self, values: Mapping[str, bool]) -> str:
        """Renders the module in CIL, with the reason above each rule; empty if no rule is left.

        ``values``: defaults of declared booleans that are not off.
        """
        if not self.kept:
            return ""
        lines = [*_HEAD, "", *(f"(boolean {name} {str(values.get(name, False)).lower()})" for name in self.declared)]
        if self.container_types:
            lines += [f"(typeattribute {self.attribute})"]
            lines += [f"(typeattributeset {self.attribute} ({' '.join(self.container_types)}))"]
        for (title, boolean), members in groupby(self.kept, key=lambda one: (one[0].title, one[0].boolean)):
            lines += ["", f";; {title}"]
            statements = [line for rule, parsed in members for line in _lines(rule, parsed)]
            if boolean:
                statements[-1] += "))"
                lines += [f"(booleanif {boolean} (true", *(f"  {line}" for line in statements)]
            else:
                lines += statements
        return "\n".join(lines) + "\n"


# Distinguishes our module from a different one of the same name.
SIGN = "made for this host by the module criu.hosts.criu_policy"
_HEAD = (
    ";; SPDX-License-Identifier: GPL-3.0-or-later",
    f";; criu_hosts, {SIGN}: the rules that checkpoint and restore need.",
    ";; The comment above each rule has its reason, and the denial (or CRIU's error) that occurs without it.",
)


def _lines(rule: Rule, parsed: Parsed) -> list[str]:
    denied = f"; denied {rule.denied}" if rule.denied else ""
    return [f";; {rule.why}{denied}", parsed.cil()]


def missing(parsed: Parsed, policy: Policy, own: Iterable[str]) -> str:
    """Returns the first type, class or permission of the rule that the policy lacks; empty if there is none."""
    for name in parsed.types:
        if name not in ("self", *own) and not policy.has_type(name):
            return f"type {name}"
    if parsed.kind == "filecon":
        return ""
    have = policy.permissions(parsed.class_name)
    if not have:
        return f"class {parsed.class_name}"
    lacking = [name for name in parsed.permissions if name not in have]
    return f"permission {lacking[0]} of class {parsed.class_name}" if lacking else ""


@dataclass(frozen=True)
class Catalog:
    """All rules, and the names that they depend on."""

    rules: tuple[Rule, ...]
    booleans: tuple[str, ...]
    attribute: str
    container_types: tuple[str, ...]
    # A type that only container-selinux (Fedora, RHEL) has, and the purposes that this policy allows without our rules.
    distribution_sign: str
    distribution_provides: tuple[str, ...]
    # A host's policy that has this boolean also has the rules for this purpose.
    distribution_boolean: str
    boolean_purpose: str


def make_policy(catalog: Catalog, purposes: Iterable[str], policy: Policy) -> Made:
    """Returns the policy module for these purposes on this host."""
    asked = tuple(purposes)
    provided = catalog.distribution_provides if policy.has_type(catalog.distribution_sign) else ()
    open_purposes = [purpose for purpose in asked if purpose not in provided]
    types = tuple(name for name in catalog.container_types if policy.has_type(name))
    own = (catalog.attribute,) if types else ()
    kept, left_out = [], []
    for rule in catalog.rules:
        if not rule.wanted(open_purposes):
            continue
        served = set(rule.purposes) & set(open_purposes) == {catalog.boolean_purpose}
        if served and policy.has_boolean(catalog.distribution_boolean):
            left_out.append((rule, f"nothing: the policy has the boolean {catalog.distribution_boolean} and its rules"))
            continue
        parsed = parse_rule(rule.text)
        lack = missing(parsed, policy, own)
        if lack:
            left_out.append((rule, lack))
        else:
            kept.append((rule, parsed))
    used = {name for dummy, parsed in kept for name in parsed.types}
    needed = {rule.boolean for rule, dummy in kept}
    return Made(
        purposes=asked,
        provided=tuple(purpose for purpose in asked if purpose in provided),
        kept=tuple(kept),
        left_out=tuple(left_out),
        declared=tuple(name for name in catalog.booleans if name in needed and not policy.has_boolean(name)),
        container_types=types if catalog.attribute in used else (),
        attribute=catalog.attribute,
    )
