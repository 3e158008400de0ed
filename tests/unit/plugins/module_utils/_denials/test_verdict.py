# SPDX-License-Identifier: GPL-3.0-or-later
"""Distinguishes equal texts of denials by the answers of a real policy (selinux-policy-default 2.20250213)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._denials import verdict as policy
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import Decision, LoadedPolicy
from ansible_collections.criu.hosts.tests.unit.denials import loaded

SHELL = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"
BOX = "system_u:system_r:container_t:s0:c1,c2"
PODMAN = "system_u:system_r:podman_t:s0"
USER = "user_u:user_r:user_t:s0"


@pytest.mark.parametrize(
    ("source", "target", "tclass", "permission", "verdict"),
    [
        pytest.param(
            *(BOX, "system_u:object_r:container_file_t:s0:c3,c4", "file", "read", policy.CONSTRAINT_LEVEL),
            id="file-of-another-container",
        ),
        pytest.param(
            *("system_u:system_r:container_t:s0:c224,c282", SHELL, "fifo_file", "write", policy.CONSTRAINT_LEVEL),
            id="pipe-of-a-shells-conmon",
        ),
        pytest.param(
            *(USER, "system_u:object_r:user_home_t:s0", "file", "create", policy.CONSTRAINT_IDENTITY),
            id="file-of-another-user",
        ),
        pytest.param(
            *(SHELL, "system_u:system_r:initrc_t:s0", "process", "dyntransition", policy.RULE_MISSING), id="no-rule"
        ),
        pytest.param(BOX, BOX, "capability", "sys_admin", policy.RULE_MISSING, id="no-rule-for-itself"),
        pytest.param(PODMAN, PODMAN, "process", "setsockcreate", policy.ALLOWED_NOW, id="allowed-by-now"),
        pytest.param(
            *("system_u:system_r:nosuch_t:s0", SHELL, "process", "dyntransition", policy.CONTEXT_UNKNOWN),
            id="unknown-type",
        ),
        pytest.param(BOX, BOX, "no_such_class", "read", policy.CONTEXT_UNKNOWN, id="unknown-class"),
        pytest.param("kernel", BOX, "process", "read", policy.NOT_ASKED, id="no-context"),
    ],
)
def test_judge(tmp_path: Path, source: str, target: str, tclass: str, permission: str, verdict: str) -> None:
    assert policy.judge(loaded(tmp_path), source, target, tclass, (permission,)) == verdict


def test_without_a_policy_nothing_is_asked(tmp_path: Path) -> None:
    nothing = LoadedPolicy(str(tmp_path))
    assert policy.judge(nothing, BOX, BOX, "process", ("read",)) == policy.NOT_ASKED
    assert nothing.boolean("x") is None
    assert policy.identity_stops(nothing, SHELL, BOX, "process", "dyntransition") is None


def test_decision_has_what_is_logged(tmp_path: Path) -> None:
    decision = loaded(tmp_path).decide(BOX, BOX, "capability")
    assert decision is not None
    assert "sys_admin" in decision.audited and "sys_admin" not in decision.allowed


class Constrained(LoadedPolicy):
    """A policy as Fedora's: dyntransition only to the same user and role."""

    def __init__(self, folder: Path, rules: set[tuple[str, str]]) -> None:
        super().__init__(str(folder))
        self.rules = rules

    @property
    def there(self) -> bool:
        return True

    def decide(self, source: str, target: str, dummy_class: str) -> Decision:
        one, other = source.split(":"), target.split(":")
        allowed = (one[2], other[2]) in self.rules and one[:2] == other[:2]
        return Decision(frozenset({"dyntransition"} if allowed else ()), frozenset())


SERVICE = "system_u:system_r:unconfined_service_t:s0"


@pytest.mark.parametrize(
    ("rules", "target", "stops"),
    [
        pytest.param({("unconfined_t", "unconfined_t")}, SERVICE, True, id="constraint-stops-whatever-the-boolean"),
        pytest.param({("unconfined_t", "unconfined_t")}, SHELL.replace("unconfined_t", "x_t"), False, id="same-user"),
        pytest.param(set(), SERVICE, None, id="no-rule-to-ask-by"),
        pytest.param(set(), "system_u:object_r:x_t:s0", None, id="a-file"),
    ],
)
def test_identity_stops(tmp_path: Path, rules: set[tuple[str, str]], target: str, stops: bool | None) -> None:
    assert policy.identity_stops(Constrained(tmp_path, rules), SHELL, target, "process", "dyntransition") is stops


def test_constraint_on_user_and_role_is_found_behind_the_rule(tmp_path: Path) -> None:
    fedora = Constrained(tmp_path, {("unconfined_t", "unconfined_service_t")})
    assert policy.judge(fedora, SHELL, SERVICE, "process", ("dyntransition",)) == policy.CONSTRAINT_IDENTITY
