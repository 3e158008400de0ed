# SPDX-License-Identifier: GPL-3.0-or-later
"""Without root: users' own processes, CRIU inside an unprivileged container, and requests that are refused.

Each row of the matrix in docs/without-root.md has a test here.
"""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
import yaml

MEMBERS = ("lab-member", "lab-confined")
CAPABILITIES = {"CHECKPOINT_RESTORE", "SYS_PTRACE", "NET_ADMIN"}
# These three capabilities as the kernel prints them: bits 40, 19 and 12
BITS = "0000010000081000"
USER = "1000\t1000\t1000\t1000"


@pytest.fixture(scope="module")
def seen(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """One run of without_root.yml."""
    return seen_by("../processes/without_root.yml")


def own(seen: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = seen["users"][name]
    assert "failed" not in found, found["failed"]
    return found


def printed(seen: dict[str, Any], key: str) -> dict[str, Any]:
    lines = [line for line in seen[key].splitlines() if line.startswith("{")]
    assert lines, seen["played"] if key == "pod" else seen[key]
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def test_binary_is_only_for_the_group(host: Any) -> None:
    file = host.file(host.file("/usr/local/sbin/criu").linked_to)
    assert (file.user, file.group, oct(file.mode)) == ("root", "criu", "0o750")
    assert host.check_output(f"getcap {file.path}").endswith("cap_checkpoint_restore=eip")


@pytest.mark.parametrize(
    ("name", "label"), [("lab-member", "unconfined_u:"), ("lab-confined", "user_u:user_r:user_t:")]
)
def test_users_have_the_label_of_a_login(seen: dict[str, Any], name: str, label: str) -> None:
    assert own(seen, name)["label"].startswith(label)


@pytest.mark.parametrize("name", MEMBERS)
def test_member_dumps_and_restores_an_own_process(seen: dict[str, Any], name: str) -> None:
    found = own(seen, name)
    assert found["dump"]["rc"] == 0, found["dump"]
    assert found["restore"]["rc"] == 0, found["restore"]
    assert min(found["counted_on"]) > max(found["at_dump"]) > 0


@pytest.mark.parametrize("name", MEMBERS)
def test_threads_keep_label_and_get_no_capability(seen: dict[str, Any], name: str) -> None:
    found = own(seen, name)
    assert found["after"] == found["before"]
    assert found["after"]["labels"] == [found["label"]] * 3
    assert int(found["after"]["capabilities"], 16) == 0


def test_the_option_unprivileged_is_required(seen: dict[str, Any]) -> None:
    found = own(seen, "lab-member")["without_option"]
    assert found["rc"] != 0 and "--unprivileged" in found["out"] + found["err"]


def test_others_may_not_run_it(seen: dict[str, Any]) -> None:
    assert own(seen, "lab-outsider")["refused"] == "Permission denied"


def test_member_cannot_dump_a_process_of_root(seen: dict[str, Any]) -> None:
    found = seen["users"]["foreign"]
    assert found["rc"] != 0 and found["alive"] is True
    assert any("Dumping FAILED" in line for line in found["errors"])


@pytest.mark.parametrize("what", ["checkpoint", "restore"])
def test_rootless_podman_refuses(seen: dict[str, Any], what: str) -> None:
    found = own(seen, "rootless")
    assert found["pid"], found["run"]
    assert found[what]["rc"] != 0 and "requires root" in found[what]["err"]


def left(seen: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a user's process that root dumps: its state before, the dump, the restore, and its state after."""
    return [seen[f"left{part}"][MEMBERS.index(name)] for part in ("", "_dumped", "_restored", "_seen")]


def require_that_it_counts(after: dict[str, Any]) -> None:
    earlier, later = after["counters"]
    assert all(is_now > was > 0 for was, is_now in zip(earlier, later))


def test_root_dumps_and_restores_a_process_of_a_user(seen: dict[str, Any]) -> None:
    before, dumped, restored, after = left(seen, "lab-member")
    assert dumped.get("changed") is True, dumped.get("msg")
    assert restored.get("changed") is True, restored.get("msg")
    assert restored["label_proof"] == "enforcing"
    assert after["uid"] == before["uid"] > 0
    assert after["after"] == before["before"]
    require_that_it_counts(after)


def test_root_cannot_dump_a_process_of_a_confined_user(seen: dict[str, Any]) -> None:
    before, dumped, dummy_restored, after = left(seen, "lab-confined")
    assert dumped["reason"] and "It keeps running." in dumped["msg"]
    assert after["uid"] == before["uid"] > 0
    require_that_it_counts(after)


def test_member_cannot_dump_a_rootless_container_with_criu(seen: dict[str, Any]) -> None:
    assert own(seen, "rootless")["criu"]["rc"] != 0


@pytest.mark.parametrize("what", ["checkpoint", "restore"])
def test_root_has_no_such_container(seen: dict[str, Any], what: str) -> None:
    found = seen["users"][f"root_{what}"]
    assert found["rc"] != 0 and "no such container" in found["err"].lower()


def test_root_cannot_dump_a_rootless_container_with_criu(seen: dict[str, Any]) -> None:
    found = seen["users"]["root_criu"]
    assert found["rc"] != 0 and found["alive"] is True, found


def test_a_missing_criu_is_reported(seen: dict[str, Any]) -> None:
    answer = seen["absent"]["present"]
    assert answer["reason"] == "criu_missing" and "'/usr/local/sbin/no-criu'" in answer["msg"]


def test_absent_changes_nothing_for_a_missing_criu(seen: dict[str, Any]) -> None:
    answer = seen["absent"]["absent"]
    assert (answer["changed"], answer["commands"], answer["non_root"]["path"]) == (False, [], None)


@pytest.mark.parametrize("task", ["as_user", "as_root", "restore"])
def test_modules_name_the_alternatives(seen: dict[str, Any], task: str) -> None:
    answer = seen["modules"][task]
    assert answer["reason"] == "rootless_unsupported"
    assert "process_checkpoint" in answer["msg"] and "unprivileged_container" in answer["msg"]
    assert "\n" not in answer["msg"]
    assert ("'lab-member'" in answer["msg"]) is (task != "as_user")


@pytest.mark.parametrize("step", ["dumped", "restored", "pod"])
def test_container_is_unprivileged(seen: dict[str, Any], step: str) -> None:
    found = printed(seen, step)
    assert found["self"]["Uid"] == USER
    assert found["self"]["CapBnd"] == BITS
    assert ":criu_container_t:" in found["label"]
    assert found["sysctl"] == found["ns_last_pid"] == "Read-only file system"


def test_ns_last_pid_is_writable_if_requested(seen: dict[str, Any]) -> None:
    found = printed(seen, "old")
    assert found["self"]["CapBnd"] == BITS
    assert (found["ns_last_pid"], found["sysctl"]) == ("written", "Read-only file system")


def test_child_is_dumped_in_the_container(seen: dict[str, Any]) -> None:
    found = printed(seen, "dumped")
    assert found["rc"] == 0, found["errors"]
    assert found["child"]["threads"] == 5
    assert (found["child"]["NoNewPrivs"], found["child"]["Seccomp"]) == ("1", "0")


@pytest.mark.parametrize("where", ["restored", "pod"])
def test_child_continues_in_a_new_container(seen: dict[str, Any], where: str) -> None:
    before, found = printed(seen, "dumped"), printed(seen, where)
    assert found["rc"] == 0, found["errors"]
    assert found["pid"] == before["pid"]
    assert found["after"]["nonce"] == before["before"]["nonce"]
    assert min(found["after"]["counters"]) > max(before["after"]["counters"])
    assert found["child"]["threads"] == 5
    assert found["child"]["label"] == found["label"] != before["label"]
    assert found["clone3"] is True


def test_options_and_manifest_agree(seen: dict[str, Any]) -> None:
    options, context = seen["options"], seen["context"]
    added = {option[len("--cap-add=") :] for option in options if option.startswith("--cap-add=")}
    assert added == set(context["capabilities"]["add"]) == CAPABILITIES
    assert "--cap-drop=all" in options and context["capabilities"]["drop"] == ["ALL"]
    assert f"--user={context['runAsUser']}:{context['runAsGroup']}" in options and context["runAsNonRoot"] is True
    assert f"--security-opt=seccomp={context['seccompProfile']['type'].lower()}" in options
    assert f"--security-opt=label=type:{context['seLinuxOptions']['type']}" in options
    assert yaml.safe_load(seen["manifest"])["spec"]["containers"][0]["securityContext"] == context


def test_nothing_else_was_denied(host: Any, seen: dict[str, Any]) -> None:
    found = json.loads(host.check_output(f"python3 /var/lib/lab/observe.py denials {seen['started']}"))
    mine = [line for line in found if 'comm="criu"' in line or "criu_container_t" in line or ":user_t:" in line]
    # Root could not dump this process, because user_t may not use file descriptors of unconfined_t.
    confined = f" pid={left(seen, 'lab-confined')[0]['pid']} "
    assert [line for line in mine if confined not in line] == []
    assert any(confined in line and "tclass=fd" in line for line in mine)
