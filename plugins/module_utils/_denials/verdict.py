# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Asks the loaded policy why something is denied, since the text of a denial does not say.

It asks again with the one part of a context changed that a constraint compares. If that is allowed, the rule exists and
the constraint denies.
"""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import Context, same_identity, same_level
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy

# The verdicts; docs/denials.md explains them.
NOT_ASKED = "not_asked"
RULE_MISSING = "rule_missing"
CONSTRAINT_IDENTITY = "constraint_identity"
CONSTRAINT_LEVEL = "constraint_level"
CONTEXT_UNKNOWN = "context_unknown"
ALLOWED_NOW = "allowed_now"
BOUNDED = "bounded"
# Of AppArmor only.
PROFILE_MISSING = "profile_missing"
PATH_DISCONNECTED = "path_disconnected"


def judge(policy: LoadedPolicy, source: str, target: str, tclass: str, permissions: tuple[str, ...]) -> str:
    """Returns why the loaded policy denies this: one of the words above."""
    first, second = Context.parse(source), Context.parse(target)
    if not policy.there or first is None or second is None:
        return NOT_ASKED
    exact = policy.decide(source, target, tclass)
    if exact is None:
        return CONTEXT_UNKNOWN
    missing = frozenset(permissions) - exact.allowed
    if not missing:
        return ALLOWED_NOW

    def gives(pairs: list[tuple[Context, Context]]) -> bool:
        answers = [policy.decide(str(one), str(other), tclass) for one, other in pairs]
        return any(answer is not None and missing <= answer.allowed for answer in answers)

    if gives(same_identity(first, second)):
        return CONSTRAINT_IDENTITY
    if gives(same_level(first, second)):
        return CONSTRAINT_LEVEL
    both = [pair for one, other in same_identity(first, second) for pair in same_level(one, other)]
    return CONSTRAINT_IDENTITY if gives(both) else RULE_MISSING


def identity_stops(policy: LoadedPolicy, source: str, target: str, tclass: str, permission: str) -> bool | None:
    """Returns whether user and role would deny this even if a rule allowed it; None if the policy does not say.

    It asks with the type of the source as that of the target, where that is allowed: then only the constraint matters.
    """
    first, second = Context.parse(source), Context.parse(target)
    if not policy.there or first is None or second is None or second.role == "object_r":
        return None
    if (first.user, first.role) == (second.user, second.role):
        return False
    rule = policy.decide(source, source, tclass)
    foreign = policy.decide(source, str(Context(second.user, second.role, first.type, first.level)), tclass)
    if rule is None or foreign is None or permission not in rule.allowed:
        return None
    return permission not in foreign.allowed
