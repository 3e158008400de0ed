# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the rule of our own policy module that would allow a denial, with its reason and its recorded denial."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ansible_collections.criu.hosts.plugins.module_utils._denials import remedies as remedy
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import Record
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DYNTRANS_BOOLEAN, RESTORE_BOOLEAN
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import type_of
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.generate import Parsed, Rule, parse_rule
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.rules import CATALOG

# The attribute that every domain has; which types have other attributes is not known without the policy.
DOMAIN = "domain"


class Matched(NamedTuple):
    """The explanation that a rule gives for a denial that it would allow."""

    id: str
    cause: str
    matters: str
    remedy: remedy.Remedy
    recorded: tuple[str, ...]


@cache
def vectors() -> tuple[tuple[Rule, Parsed], ...]:
    """Returns the parsed rules that allow or silence something."""
    parsed = ((rule, parse_rule(rule.text)) for rule in CATALOG.rules)
    return tuple((rule, one) for rule, one in parsed if one.kind in ("allow", "dontaudit"))


def names(written: str, name: str) -> bool:
    """Returns whether ``written`` in a rule includes the type ``name``."""
    if written == CATALOG.attribute:
        return name in CATALOG.container_types
    return written in (DOMAIN, name)


def allows(parsed: Parsed, record: Record) -> bool:
    """Returns whether a rule allows this denial, or some of its permissions."""
    source, target = type_of(record.source), type_of(record.target)
    written_source, written_target = parsed.types
    return (
        parsed.class_name == record.tclass
        and bool(set(parsed.permissions) & set(record.permissions))
        and names(written_source, source)
        and (source == target if written_target == "self" else names(written_target, target))
    )


def find_rule(record: Record) -> Matched | None:
    """Returns the explanation of the first rule that would allow the denial; None if none would."""
    found = [rule for rule, parsed in vectors() if allows(parsed, record)]
    if not found:
        return None
    rule = found[0]
    silent = rule.text.startswith("dontaudit")
    recorded = (f"denied {rule.denied}",) if rule.denied else ()
    if silent:
        return Matched("policy_silenced", f"{rule.title}: {rule.why}.", "no", remedy.POLICY, recorded)
    during = {
        RESTORE_BOOLEAN: "Our policy allows this only during a restore by container_restore",
        DYNTRANS_BOOLEAN: "Our policy allows this only during a restore by process_restore",
    }.get(rule.boolean, f"Our policy allows this for the purpose {rule.purposes[0]}")
    help_ = {RESTORE_BOOLEAN: remedy.RESTORE_CONTAINER, DYNTRANS_BOOLEAN: remedy.RESTORE_PROCESS}.get(
        rule.boolean, remedy.POLICY
    )
    if {one.boolean for one in found} >= {RESTORE_BOOLEAN, DYNTRANS_BOOLEAN}:
        during = "Our policy allows this only during a restore by container_restore or process_restore"
        help_ = remedy.RESTORE_EITHER
    return Matched("policy_rule", f"{rule.title}: {rule.why}. {during}.", "yes", help_, recorded)
