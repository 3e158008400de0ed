# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Explains groups of denials: what was refused, why, whether it matters, and what helps."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._denials import remedies as remedy
from ansible_collections.criu.hosts.plugins.module_utils._denials import verdict as policy
from ansible_collections.criu.hosts.plugins.module_utils._denials.explanation import Explanation
from ansible_collections.criu.hosts.plugins.module_utils._denials.groups import Group, Groups
from ansible_collections.criu.hosts.plugins.module_utils._denials.heads import parse_time
from ansible_collections.criu.hosts.plugins.module_utils._denials.kinds import (
    ENGINE_SOCKET_ID,
    Known,
    is_container,
    object_path,
    related,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.known import KNOWN
from ansible_collections.criu.hosts.plugins.module_utils._denials.lines import parse_record
from ansible_collections.criu.hosts.plugins.module_utils._denials.own_rules import find_rule
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import APPARMOR, BOUNDED_TRANSITION, Record
from ansible_collections.criu.hosts.plugins.module_utils._host.names import (
    DISTRIBUTION_BOOLEAN,
    DYNTRANS_BOOLEAN,
    RESTORE_BOOLEAN,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import type_of
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy

EXAMPLE_LENGTH = 1000
# The numbers of execve and execveat on the processors of the distributions, and what ausearch calls them.
_EXEC = {"59", "322", "221", "281", "11", "354", "358", "362", "387", "execve", "execveat"}


def find_known(record: Record, *, fallback: bool, logs: frozenset[str] = frozenset()) -> Known | None:
    """Returns the first entry of the table that fits; None if none does. ``logs``: where CRIU's log was moved to."""
    if record.kind != "avc":
        return None
    if object_path(record) in logs and is_container(type_of(record.source)) and record.tclass == "file":
        return next(known for known in KNOWN if known.id == "dump_log")
    return next((known for known in KNOWN if known.fallback is fallback and known.fits(record)), None)


# A log that somebody else has written may have other words in these places, and they may be a rule themselves.
_WORD = re.compile(r"[A-Za-z0-9_.]+")


def candidate_rule(record: Record) -> str | None:
    """Renders the denial as a rule in CIL, for a person to judge; None if its words are none of a policy."""
    source, target = type_of(record.source), type_of(record.target)
    if not all(_WORD.fullmatch(word) for word in (source, target, record.tclass, *record.permissions)):
        return None
    permissions = " ".join(sorted(record.permissions))
    return f"; unreviewed\n(allow {source} {'self' if source == target else target} ({record.tclass} ({permissions})))"


_VERDICTS = {
    policy.NOT_ASKED: "No loaded policy could be asked whether a rule is missing or a constraint denies it.",
    policy.RULE_MISSING: "The loaded policy has no rule for it.",
    policy.CONSTRAINT_IDENTITY: "The rule exists; a constraint denies it, because SELinux user or role differ.",
    policy.CONSTRAINT_LEVEL: "The rule exists; a constraint denies it, because the categories (or levels) differ.",
    policy.CONTEXT_UNKNOWN: "The loaded policy does not know one of the labels, so it comes from another policy.",
    policy.ALLOWED_NOW: "The loaded policy allows it now.",
}
_BY_VERDICT = {
    policy.CONSTRAINT_IDENTITY: remedy.IDENTITY,
    policy.CONSTRAINT_LEVEL: remedy.LEVEL,
    policy.CONTEXT_UNKNOWN: remedy.TARGET_POLICY,
    policy.ALLOWED_NOW: remedy.FIXED,
}


def explain_error(group: Group) -> Explanation:
    """Explains a SELINUX_ERR: no rule is missing, and no rule can allow it."""
    op, record = group.record.op, group.record
    concerned = related(record, group.caller)
    matters = "yes" if concerned else "unrelated"
    if op == BOUNDED_TRANSITION:
        return _explain_bounded(group, concerned)
    if "invalid_context" in record.fields and op in ("setxattr", "fscreate"):
        cause = "A program asked for a label that the loaded policy does not know."
        return Explanation("label_unknown", policy.CONTEXT_UNKNOWN, cause, matters, remedy.TARGET_POLICY)
    if "invalid_context" in record.fields:
        cause = (
            "The label that the policy computes for a new process or object is not valid: the policy does not "
            "authorize its role for its type, or its user for its role."
        )
        return Explanation("label_invalid", policy.NOT_ASKED, cause, matters, remedy.ROLE)
    causes = {
        "security_compute_av": "The policy gives a bounded type more than its parent has; the kernel ignores the rest.",
        "security_validate_transition": "A constraint does not allow this file to change from one label to the other.",
    }
    cause = causes.get(op, f"The kernel reports {op}.")
    verdict = policy.BOUNDED if op == "security_compute_av" else policy.NOT_ASKED
    return Explanation(None, verdict, cause, "unknown" if concerned else "unrelated", remedy.NOT_KNOWN)


def _explain_bounded(group: Group, concerned: bool) -> Explanation:
    """Explains a new label that is not bounded by the old one. Only the system call shows who wanted it."""
    matters = "yes" if concerned else "unrelated"
    if group.syscall in _EXEC:
        cause = "A program was started with no_new_privs, and its domain is not bounded by that of the caller."
        return Explanation("bounded_exec", policy.BOUNDED, cause, matters, remedy.NEW_PRIVILEGES)
    if group.syscall:
        cause = "A process with several threads requested a label that is not bounded by its own."
        # A restored process has its own command by then, so nothing shows whether CRIU restored it.
        matters = "yes" if concerned else "unknown"
        return Explanation("bounded_threads", policy.BOUNDED, cause, matters, remedy.NEWER_CRIU)
    cause = (
        "A label is not bounded by the previous one: either a program was started with no_new_privs, or a process with "
        "several threads, such as CRIU restores, changed its label. The record of the system call is missing."
    )
    return Explanation("bounded_transition", policy.BOUNDED, cause, matters, remedy.BOUNDED)


def settle(verdict: str, help_: remedy.Remedy, loaded: LoadedPolicy) -> remedy.Remedy:
    """Returns the remedy for a host with this policy."""
    if help_ in (remedy.NOTHING, remedy.ENGINE_SOCKET):
        return help_
    if help_ is remedy.NETLINK and loaded.there and loaded.boolean(remedy.NETLINK_BOOLEAN) is None:
        help_ = remedy.IN_CONTAINER
    if verdict in _BY_VERDICT and help_ not in (remedy.POLICY_AND_RECREATE, remedy.RESTORE_PROCESS):
        return _BY_VERDICT[verdict]
    if verdict == policy.ALLOWED_NOW:
        return remedy.FIXED
    if help_ in (remedy.RESTORE_CONTAINER, remedy.RESTORE_EITHER) and loaded.boolean(RESTORE_BOOLEAN) is None:
        return remedy.ENABLE_ALL_CAPS if loaded.boolean(DISTRIBUTION_BOOLEAN) is False else remedy.POLICY
    if help_ is remedy.RESTORE_PROCESS and loaded.there and loaded.boolean(DYNTRANS_BOOLEAN) is None:
        return remedy.POLICY
    return help_


def identity_note(record: Record, loaded: LoadedPolicy) -> str:
    """Returns a note if the boolean that allows the label would not help; else an empty text."""
    stops = policy.identity_stops(loaded, record.source, record.target, "process", "dyntransition")
    if stops is None or "dyntransition" not in record.permissions:
        return ""
    return (
        f" The boolean {DYNTRANS_BOOLEAN!r} does not help: a constraint denies it, because SELinux user or role differ."
        * stops
    )


def explain(group: Group, loaded: LoadedPolicy, logs: frozenset[str] = frozenset()) -> Explanation:
    """Explains a group; ``logs``: where CRIU's configuration has moved its log to."""
    record = group.record
    if record.lsm == APPARMOR:
        # Hosts with SELinux need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.explain import explain_profile

        return explain_profile(record)
    if record.kind == "selinux_err":
        return explain_error(group)
    verdict = policy.judge(loaded, record.source, record.target, record.tclass, record.permissions)
    known = find_known(record, fallback=False, logs=logs)
    matched = find_rule(record) if known is None and record.kind == "avc" else None
    known = known or (None if matched else find_known(record, fallback=True))
    if known is not None:
        name, cause, help_, recorded = known.id, known.cause, known.remedy, known.recorded
        matters = known.matters if not known.otherwise or related(record) else known.otherwise
    elif matched is not None:
        name, cause, matters, help_, recorded = matched
    else:
        return explain_unknown(record, verdict)
    if verdict == policy.ALLOWED_NOW and name != ENGINE_SOCKET_ID:
        matters = "no"
    told = f"{cause} {_VERDICTS[verdict]}{identity_note(record, loaded)}"
    return Explanation(name, verdict, told, matters, settle(verdict, help_, loaded), None, recorded)


def explain_unknown(record: Record, verdict: str) -> Explanation:
    """Explains a denial that is in no table, by the verdict of the policy."""
    is_open = verdict in (policy.RULE_MISSING, policy.NOT_ASKED)
    matters = "unknown" if related(record) else "unrelated"
    rule = candidate_rule(record) if is_open else None
    return Explanation(
        None,
        verdict,
        _VERDICTS[verdict],
        "no" if verdict == policy.ALLOWED_NOW else matters,
        _BY_VERDICT.get(verdict, remedy.REVIEW if rule else remedy.NOT_KNOWN),
        rule,
    )


def utc(seconds: float) -> str:
    """Renders a time as the module returns it."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def view(group: Group, told: Explanation) -> dict[str, Any]:
    """Renders a group as the module returns it."""
    record = group.record
    times = sorted((parse_time(group.earlier), parse_time(group.line)))
    return {
        "id": told.id,
        "lsm": record.lsm,
        "kind": record.kind,
        "count": group.count,
        "first": utc(times[0]),
        "last": utc(times[1]),
        "permissive": record.permissive,
        "permissions": list(record.permissions),
        "source": record.source,
        "target": record.target,
        "class": record.tclass,
        "command": record.comm,
        "operation": record.op,
        "object": record.object or record.op,
        "verdict": told.verdict,
        "cause": told.cause,
        "matters": told.matters,
        "remedy": told.remedy.view(),
        "candidate_rule": told.candidate_rule,
        "recorded": list(told.recorded),
        "example": group.line.partition(b"\x1d")[0].decode("utf-8", "replace")[:EXAMPLE_LENGTH],
    }


_ORDER = {"yes": 0, "unknown": 1, "unrelated": 2, "no": 3}


def in_order(denials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the denials that matter first, and of these the latest first; an engine's socket before all else."""
    latest = sorted(denials, key=lambda one: str(one["last"]), reverse=True)
    return sorted(latest, key=lambda one: (one["id"] != ENGINE_SOCKET_ID, _ORDER[one["matters"]]))


def merge_key(group: Group, told: Explanation) -> tuple[Any, ...]:
    """Returns the key by which groups are merged into one, with the permissions of all."""
    record = group.record
    types = (*record.types, record.tclass)
    key = (told.id, told.verdict, told.cause, record.kind, *types, record.comm, record.permissive, record.op)
    return (*key, told.remedy.advice, told.candidate_rule) if record.lsm == APPARMOR else key


def merge(one: Group, other: Group) -> Group:
    """Merges two groups; the example is that of the later one."""
    first, last = sorted((one, other), key=lambda group: group.record.time)
    permissions = tuple(sorted({*one.record.permissions, *other.record.permissions}))
    earlier = min(one.earlier, other.earlier, key=parse_time)
    return replace(
        last, record=replace(last.record, permissions=permissions), earlier=earlier, count=first.count + last.count
    )


def explain_all(groups: Groups, loaded: LoadedPolicy, logs: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """Explains all groups, and puts them in order."""
    groups.settle_lines({})
    merged: dict[tuple[Any, ...], tuple[Group, Explanation]] = {}
    for group in groups.groups.values():
        current = parse_record(group.line)
        group = replace(group, record=current) if current is not None else group
        told = explain(group, loaded, logs)
        key = merge_key(group, told)
        if key in merged:
            group = merge(merged[key][0], group)
            rule = candidate_rule(group.record) if told.candidate_rule else None
            rule = told.candidate_rule if group.record.lsm == APPARMOR else rule
            help_ = remedy.NOT_KNOWN if told.remedy is remedy.REVIEW and not rule else told.remedy
            told = replace(told, candidate_rule=rule, remedy=help_)
        merged[key] = (group, told)
    return in_order([view(group, explanation) for group, explanation in merged.values()])
