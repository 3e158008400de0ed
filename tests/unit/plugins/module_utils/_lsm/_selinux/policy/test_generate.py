# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats import binary_policy
from ansible_collections.criu.hosts.plugins.module_utils._formats.binary_policy import PolicyFile
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DYNTRANS_BOOLEAN, RESTORE_BOOLEAN
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.generate import (
    Rule,
    make_policy,
    parse_rule,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.rules import (
    CATALOG,
    CONTAINER,
    PURPOSES,
    RULES,
    USUAL_PURPOSES,
)

FIXTURES = Path(__file__).parents[5] / "fixtures/selinux"
# Records of types and classes cut out of the policy of Debian's selinux-policy-default 2:2.20250213-13~deb13u1.
DEBIAN = base64.b64decode((FIXTURES / "20250213-policy34-symbols.b64").read_text())


class Lacking(PolicyFile):
    """Debian's policy without some of its names, with some others."""

    def __init__(self, *missing: str, more: str = "", booleans: tuple[str, ...] = ()) -> None:
        super().__init__(DEBIAN, booleans)
        self.missing, self.more = missing, more

    def has_type(self, name: str) -> bool:
        return name == self.more or (name not in self.missing and super().has_type(name))

    def permissions(self, class_name: str) -> frozenset[str]:
        return frozenset() if class_name in self.missing else super().permissions(class_name) - set(self.missing)


RULE_TEXTS = [
    ("allow a_t self:process { ptrace execmem }", "(allow a_t self (process (ptrace execmem)))"),
    ("dontaudit a_t b_t:file { read }", "(dontaudit a_t b_t (file (read)))"),
    ("range_transition a_t b_t:process s0", "(rangetransition a_t b_t process ((s0) (s0)))"),
    ('type_transition a_t b_t:dir c_t "x-y"', '(typetransition a_t b_t dir "x-y" c_t)'),
    (r'filecon "/x\.y" file a_t', r'(filecon "/x\.y" file (system_u object_r a_t ((s0) (s0))))'),
]


@pytest.mark.parametrize(("text", "cil"), RULE_TEXTS)
def test_rule_in_cil(text: str, cil: str) -> None:
    assert parse_rule(text).cil() == cil


@pytest.mark.parametrize(
    "text", ["allow a_t b_t:file read", "allow a_t b_t { read }", "neverallow a_t b_t:file { read }"]
)
def test_rule_of_another_kind(text: str) -> None:
    with pytest.raises(ValueError, match="not a rule"):
        parse_rule(text)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.text)
def test_every_rule_has_its_reason(rule: Rule) -> None:
    parse_rule(rule.text)
    assert rule.why
    assert rule.purposes
    assert set(rule.purposes) | ({rule.also} if rule.also else set()) <= set(PURPOSES)
    assert rule.boolean in ("", RESTORE_BOOLEAN, DYNTRANS_BOOLEAN)


def test_no_rule_stands_twice() -> None:
    seen = [(rule.text, rule.boolean) for rule in RULES]
    assert len(set(seen)) == len(seen)


def test_containers_get_capabilities_only_during_a_restore() -> None:
    given = [rule for rule in RULES if re.match(rf"allow {CONTAINER} self:cap", rule.text)]
    assert len(given) == 4
    assert {rule.boolean for rule in given} == {RESTORE_BOOLEAN}


def test_debian_takes_every_rule() -> None:
    made = make_policy(CATALOG, PURPOSES, PolicyFile(DEBIAN, ()))
    assert made.left_out == ()
    assert [rule for rule, dummy in made.kept] == list(RULES)
    assert made.declared == (RESTORE_BOOLEAN, DYNTRANS_BOOLEAN)
    assert made.text({}).count("(") == made.text({}).count(")")


def test_text_of_one_purpose() -> None:
    text = make_policy(CATALOG, ["root_shell"], PolicyFile(DEBIAN, ())).text({})
    assert "podman_t" not in text
    assert "tcp_socket" not in text
    assert f"(boolean {RESTORE_BOOLEAN} false)" in text
    assert DYNTRANS_BOOLEAN not in text
    assert "typetransition" not in text
    assert "(allow criu_hosts_container self (capability (sys_admin)))" in text


def test_declared_boolean_takes_its_value() -> None:
    text = make_policy(CATALOG, ["processes"], PolicyFile(DEBIAN, ())).text({DYNTRANS_BOOLEAN: True})
    assert f"(boolean {DYNTRANS_BOOLEAN} true)" in text
    assert CONTAINER not in text


def test_users_get_nothing_unless_asked_for() -> None:
    usual = make_policy(CATALOG, USUAL_PURPOSES, PolicyFile(DEBIAN, ())).text({})
    assert "(allow user_t" not in usual
    asked = make_policy(CATALOG, ["non_root"], PolicyFile(DEBIAN, ())).text({})
    assert "(allow user_t self (capability2 (checkpoint_restore)))" in asked
    assert "booleanif" not in asked and CONTAINER not in asked


def test_distribution_that_has_the_boolean() -> None:
    made = make_policy(CATALOG, ["processes"], Lacking(booleans=(DYNTRANS_BOOLEAN,)))
    assert made.text({}) == ""
    assert {lack for dummy, lack in made.left_out} == {
        "nothing: the policy has the boolean unconfined_dyntrans_all and its rules"
    }


def test_container_selinux_serves_containers_by_itself() -> None:
    made = make_policy(CATALOG, USUAL_PURPOSES, Lacking(more="container_runtime_exec_t", booleans=(DYNTRANS_BOOLEAN,)))
    assert made.provided == ("podman_units", "root_shell", "established_tcp")
    assert made.text({}) == ""


LACKS = [
    pytest.param("podman_t", "type podman_t", "allow podman_t", id="type"),
    pytest.param("anon_inode", "class anon_inode", "(anon_inode (", id="class"),
    pytest.param(
        "checkpoint_restore", "permission checkpoint_restore of class capability2", "capability2", id="permission"
    ),
    pytest.param("container_t", "type criu_hosts_container", "criu_hosts_container", id="no-container-type"),
]


@pytest.mark.parametrize(("name", "lack", "words"), LACKS)
def test_what_the_policy_lacks_is_left_out_and_told(name: str, lack: str, words: str) -> None:
    made = make_policy(CATALOG, PURPOSES, Lacking(name))
    assert lack in {why for dummy, why in made.left_out}
    assert words not in "".join(line for line in made.text({}).splitlines() if not line.startswith(";;"))
    assert "(allow unconfined_t self (process (execmem)))" in made.text({})


def test_class_with_common_permissions() -> None:
    found = binary_policy.class_permissions(DEBIAN, "unix_stream_socket")
    assert {"connectto", "read", "getattr"} <= found
    assert "execmem" not in found


@pytest.mark.parametrize("name", ["nosuch", "unix_stream"])
def test_class_that_is_not_there(name: str) -> None:
    assert binary_policy.class_permissions(DEBIAN, name) == frozenset()


@pytest.mark.parametrize("cut", [30, 300, 3000])
def test_cut_policy_gives_no_wrong_answer(cut: int) -> None:
    whole = binary_policy.class_permissions(DEBIAN, "process")
    assert binary_policy.class_permissions(DEBIAN[:cut], "process") in (frozenset(), whole)
