# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the explanations of recorded denials."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause
from ansible_collections.criu.hosts.plugins.module_utils._denials import remedies
from ansible_collections.criu.hosts.plugins.module_utils._denials.explain import explain_all, settle
from ansible_collections.criu.hosts.plugins.module_utils._denials.failure import denied_cause
from ansible_collections.criu.hosts.plugins.module_utils._denials.groups import Groups
from ansible_collections.criu.hosts.plugins.module_utils._denials.known import KNOWN
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import Decision, LoadedPolicy
from ansible_collections.criu.hosts.tests.unit.denials import CORPUS, corpus, lines, loaded

ROOT = Path(__file__).parents[5]
NO_POLICY = LoadedPolicy("/nonexistent")


def told(name: str, asked: LoadedPolicy = NO_POLICY) -> list[dict[str, Any]]:
    groups = Groups()
    found = lines(name)
    for number, line in enumerate(found):
        groups.add(line, b"\n".join(found[number + 1 :]))
    return explain_all(groups, asked)


# A denial that our policy has a rule for is explained by that rule; these tests do not depend on the list of rules.
BY_RULE = {"policy_rule", "policy_silenced", *(known.id for known in KNOWN if known.fallback)}
# The explanations of each recorded file, without a policy to ask.
EXPECTED = {
    "debian13-archive-in-home.txt": {"archive_in_home"},
    "debian13-bounded-threads.txt": {"bounded_threads"},
    "debian13-criu-4.1.1-dump-refused.txt": {"criu_without_libselinux"},
    "debian13-criu-in-container.txt": {"criu_in_container"},
    "debian13-no-policy-permissive-unit.txt": BY_RULE,
    "debian13-no-policy-shell.txt": {"shell_pipe", "policy_rule"},
    "debian13-no-policy-unit-restore.txt": BY_RULE,
    "debian13-no-policy-unit.txt": {"policy_rule"},
    "debian13-permissive-unit-sockets.txt": {"policy_rule"},
    "debian13-policy-commit.txt": {"policy_commit"},
    "debian13-process-boolean-off.txt": {"policy_rule"},
    "debian13-quadlet-generator.txt": {"generator"},
    "debian13-restore-boolean-off-shell.txt": {"policy_rule"},
    "debian13-service-permissive.txt": BY_RULE,
    "debian13-shell-container-label.txt": {"policy_rule"},
    "debian13-shell-first.txt": {"labels_of_shell"},
    "debian13-user-criu-permissive.txt": BY_RULE,
    "public-clip-195.txt": {None, "exec_noise"},
    "public-container-selinux-45.txt": {"bounded_exec"},
    "public-container-selinux-452.txt": {"userfaultfd"},
    "public-container-selinux-68.txt": {"iptables_log", "iptables_folder"},
    "public-criu-648.txt": {"criu_of_host", "criu_container_label"},
    "public-podman-1891.txt": {"criu_without_libselinux", "dump_log"},
    "public-podman-2334.txt": {"criu_without_libselinux", None},
    "public-refpolicy-460.txt": {None},
}


def test_corpus_is_complete() -> None:
    assert sorted(EXPECTED) == corpus()


@pytest.mark.parametrize("name", corpus())
def test_recorded_denials_are_explained(name: str) -> None:
    found = {one["id"] for one in told(name)}
    assert found <= BY_RULE if EXPECTED[name] is BY_RULE else found == EXPECTED[name]


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.id)
def test_each_known_denial_is_found_where_it_was_recorded(known: Any) -> None:
    assert known.recorded
    for source in known.recorded:
        if source.startswith("https://"):
            continue
        assert (CORPUS / source).exists()
        assert known.id in {one["id"] for one in told(source)} or known.fallback


def test_denial_of_criu_itself_may_be_of_a_container_or_of_a_process() -> None:
    """execmem of the restorer is the same for both, and CRIU alone knows what it restores."""
    (execmem,) = [one for one in told("debian13-restore-boolean-off-shell.txt") if "execmem" in one["permissions"]]
    assert "during a restore by container_restore or process_restore" in execmem["cause"]


def test_same_kind_is_told_once() -> None:
    (one,) = told("debian13-shell-container-label.txt")
    assert (one["count"], one["first"], one["last"]) == (2, "2026-11-23T03:39:44.704Z", "2026-11-23T03:39:44.720Z")


def test_what_matters_comes_first() -> None:
    words = [one["matters"] for one in told("debian13-no-policy-unit-restore.txt")]
    assert words == sorted(words, key=["yes", "unknown", "unrelated", "no"].index)
    assert {"yes", "no"} <= set(words)


def test_unknown_denial_has_a_rule_that_says_that_nobody_reviewed_it() -> None:
    (one,) = [entry for entry in told("public-podman-2334.txt") if entry["id"] is None]
    assert one["candidate_rule"] == (
        "; unreviewed\n(allow container_runtime_t container_file_t (unix_stream_socket (create)))"
    )
    assert one["matters"] == "unknown"
    assert one["remedy"]["task"] is None
    assert one["example"].startswith("type=AVC msg=audit(1550644128.094:4176): avc:  denied  { create }")


def test_no_rule_is_offered_where_a_constraint_denies(tmp_path: Path) -> None:
    line = (
        b'type=AVC msg=audit(1.0:1): avc:  denied  { read } for  pid=1 comm="cat" scontext=system_u:system_r:'
        b"container_t:s0:c1,c2 tcontext=system_u:object_r:container_file_t:s0:c3,c4 tclass=file permissive=0"
    )
    groups = Groups()
    groups.add(line)
    (one,) = explain_all(groups, loaded(tmp_path))
    assert (one["verdict"], one["candidate_rule"]) == ("constraint_level", None)
    assert one["remedy"]["advice"] == remedies.LEVEL.advice


def test_what_the_policy_allows_by_now_does_not_matter(tmp_path: Path) -> None:
    (one,) = told("debian13-no-policy-unit.txt", loaded(tmp_path, {"criu_container_restore": False}))
    assert (one["id"], one["verdict"], one["matters"]) == ("policy_rule", "allowed_now", "no")
    assert one["remedy"] == remedies.FIXED.view()


@pytest.mark.parametrize(
    ("help_", "booleans", "verdict", "expected"),
    [
        pytest.param(
            *("RESTORE_CONTAINER", {"criu_container_restore": False}, "rule_missing", "RESTORE_CONTAINER"), id="ours"
        ),
        pytest.param(
            *("RESTORE_EITHER", {"criu_container_restore": False}, "rule_missing", "RESTORE_EITHER"), id="either"
        ),
        pytest.param("RESTORE_CONTAINER", {}, "rule_missing", "POLICY", id="no-module"),
        pytest.param(
            *("RESTORE_CONTAINER", {"virt_sandbox_use_all_caps": False}, "rule_missing", "ENABLE_ALL_CAPS"), id="fedora"
        ),
        pytest.param(
            "RESTORE_PROCESS", {"unconfined_dyntrans_all": False}, "rule_missing", "RESTORE_PROCESS", id="off"
        ),
        pytest.param(
            *("RESTORE_PROCESS", {"unconfined_dyntrans_all": True}, "constraint_identity", "RESTORE_PROCESS"),
            id="constraint-is-no-matter-to-process-restore",
        ),
        pytest.param("RESTORE_PROCESS", {}, "rule_missing", "POLICY", id="no-boolean"),
        pytest.param("POLICY", {}, "constraint_level", "LEVEL", id="level"),
        pytest.param("POLICY", {}, "constraint_identity", "IDENTITY", id="identity"),
        pytest.param("POLICY", {}, "context_unknown", "TARGET_POLICY", id="unknown-label"),
        pytest.param("POLICY_AND_RECREATE", {}, "constraint_level", "POLICY_AND_RECREATE", id="pipe"),
        pytest.param("POLICY_AND_RECREATE", {}, "allowed_now", "FIXED", id="pipe-allowed-now"),
        pytest.param("NOTHING", {}, "constraint_level", "NOTHING", id="harmless"),
    ],
)
def test_remedy_fits_the_host(
    tmp_path: Path, help_: str, booleans: dict[str, bool], verdict: str, expected: str
) -> None:
    assert settle(verdict, getattr(remedies, help_), loaded(tmp_path, booleans)) is getattr(remedies, expected)


@pytest.mark.parametrize("one", remedies.ALL, ids=lambda one: one.advice[:30])
def test_remedies_are_real(one: remedies.Remedy) -> None:
    assert one.advice.endswith(".")
    if one.task is None:
        return
    (action,) = [key for key in one.task if "." in key]
    if action == "ansible.builtin.include_role":
        name = one.task[action]["name"].removeprefix("criu.hosts.")
        assert (ROOT / "roles" / name / "meta/argument_specs.yml").exists()
        return
    assert action.startswith("criu.hosts.")
    module = importlib.import_module(f"ansible_collections.criu.hosts.plugins.modules.{action[11:]}")
    assert set(one.task[action]) <= set(module.SPEC)
    assert {option for option, spec in module.SPEC.items() if spec.get("required")} <= set(one.task[action])


class Fedora(LoadedPolicy):
    """dyntransition of unconfined_t to itself only, and only with the same user and role."""

    @property
    def there(self) -> bool:
        return True

    def decide(self, source: str, target: str, dummy_class: str) -> Decision:
        one, other = source.split(":"), target.split(":")
        allowed = {"dyntransition"} if one[:3] == other[:3] else set()
        return Decision(frozenset(allowed), frozenset(allowed))


def test_boolean_is_not_advised_where_a_constraint_stops_it() -> None:
    told_ = [one for one in told("debian13-process-boolean-off.txt", Fedora("/x")) if "initrc_t" in one["target"]]
    assert "does not help: a constraint denies it, because SELinux user or role differ" in told_[0]["cause"]


@pytest.mark.parametrize(
    ("id_", "reason"),
    [("engine_socket", "tool_failed"), ("volume_label", "tool_failed"), ("criu_without_libselinux", "policy_missing")],
)
def test_failure_is_not_blamed_on_what_a_container_does(id_: str, reason: str) -> None:
    denial = {
        "id": id_,
        "lsm": "selinux",
        "matters": "yes",
        "permissive": False,
        "cause": "A.",
        "remedy": {"advice": "B.", "task": None},
    }
    assert denied_cause(Cause("it failed", "Read the log.", reason="tool_failed"), [denial], []).reason == reason


def test_engines_socket_matters_also_where_the_policy_allows_it(tmp_path: Path) -> None:
    class Allowing(LoadedPolicy):
        """Allows everything."""

        @property
        def there(self) -> bool:
            return True

        def decide(self, dummy_source: str, dummy_target: str, dummy_class: str) -> Decision:
            return Decision(frozenset({"connectto"}), frozenset())

    groups = Groups()
    groups.add(
        b'type=AVC msg=audit(1.0:1): avc:  denied  { connectto } for  pid=9 comm="x" path="/run/docker.sock" '
        b"scontext=a:b:container_t:s0 tcontext=a:b:container_runtime_t:s0 tclass=unix_stream_socket permissive=1"
    )
    (one,) = explain_all(groups, Allowing(str(tmp_path)))
    assert (one["id"], one["verdict"], one["matters"]) == ("engine_socket", "allowed_now", "yes")
    assert one["remedy"] == remedies.ENGINE_SOCKET.view()


@pytest.mark.parametrize(
    ("booleans", "help_"),
    [({"virt_sandbox_use_netlink": False}, "NETLINK"), ({}, "IN_CONTAINER")],
    ids=["fedora", "debian"],
)
def test_boolean_is_named_where_the_policy_has_it(tmp_path: Path, booleans: dict[str, bool], help_: str) -> None:
    found = settle("rule_missing", remedies.NETLINK, loaded(tmp_path, booleans))
    assert found is getattr(remedies, help_)


def test_accept_on_a_socket_that_a_unit_restored_is_a_rule_of_ours() -> None:
    """In refpolicy Podman in a unit is podman_t."""
    groups = Groups()
    groups.add(
        b'type=AVC msg=audit(1.0:1): avc:  denied  { accept } for  pid=9 comm="php-fpm" path="/run/php.sock" '
        b"scontext=a:b:container_t:s0:c1,c2 tcontext=a:b:podman_t:s0 tclass=unix_stream_socket permissive=0"
    )
    (one,) = explain_all(groups, NO_POLICY)
    assert one["id"] == "policy_rule" and "accept" in one["cause"]


@pytest.mark.parametrize(
    ("operation", "id_", "verdict"),
    [
        pytest.param("op=security_compute_av reason=bounds", None, "bounded", id="bounds"),
        pytest.param('op=setxattr invalid_context="a:b:c:s0"', "label_unknown", "context_unknown", id="unknown-label"),
        pytest.param("op=fscreate invalid_context=a:b:c:s0", "label_unknown", "context_unknown", id="unknown-create"),
        pytest.param(
            *("op=security_compute_sid invalid_context=a:b:c:s0 scontext=a:b:d:s0", "label_invalid", "not_asked"),
            id="role",
        ),
        pytest.param(
            "op=security_bounded_transition oldcontext=a newcontext=b", "bounded_transition", "bounded", id="b"
        ),
        pytest.param("op=something", None, "not_asked", id="else"),
    ],
)
def test_selinux_err(operation: str, id_: str | None, verdict: str) -> None:
    groups = Groups()
    groups.add(f"type=SELINUX_ERR msg=audit(1.0:1): {operation}".encode(), b"")
    (one,) = explain_all(groups, NO_POLICY)
    assert (one["kind"], one["id"], one["verdict"]) == ("selinux_err", id_, verdict)
