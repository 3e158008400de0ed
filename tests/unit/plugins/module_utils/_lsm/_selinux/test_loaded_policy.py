# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy
from ansible_collections.criu.hosts.tests.unit.criu_host import put

USER = "unconfined_u:unconfined_r:unconfined_t:s0"
# Answers of Debian 13's kernel for unconfined_t and the class process, with and without the rules for users.
WITH_RULES = b"73ffffff ffffffff 0 fffefb7f 24 0"
WITHOUT_RULES = b"717fffff ffffffff 0 fffefb7f 23 0"


@pytest.fixture(name="selinuxfs")
def selinuxfs_fixture(tmp_path: Path) -> Path:
    """The class process, with the numbers that Debian 13's kernel gives it."""
    put(tmp_path / "class/process/index", "2")
    for name, number in (("execmem", "26"), ("dyntransition", "24"), ("setkeycreate", "27")):
        put(tmp_path / "class/process/perms" / name, number)
    return tmp_path


@pytest.mark.parametrize(
    ("answer", "permissions", "expected"),
    [
        pytest.param(WITH_RULES, ("execmem", "dyntransition"), True, id="allowed"),
        pytest.param(WITHOUT_RULES, ("execmem", "dyntransition"), False, id="one-is-missing"),
        pytest.param(WITH_RULES, ("execmem", "of_another_kernel"), None, id="unknown-permission"),
        pytest.param(b"", ("execmem",), None, id="no-answer"),
        pytest.param(b"nothing", ("execmem",), None, id="not-an-answer"),
    ],
)
def test_lets(selinuxfs: Path, answer: bytes, permissions: tuple[str, ...], expected: bool | None) -> None:
    policy = LoadedPolicy(str(selinuxfs), lambda dummy_path, dummy_request: answer)
    assert policy.lets(USER, USER, "process", permissions) is expected


def test_lets_asks_for_the_class_and_both_contexts(selinuxfs: Path) -> None:
    asked: list[tuple[str, bytes]] = []

    def ask(path: str, request: bytes) -> bytes:
        asked.append((path, request))
        return WITH_RULES

    LoadedPolicy(str(selinuxfs), ask).lets(USER, "system_u:object_r:b_t:s0", "process", ("execmem",))
    assert asked == [(f"{selinuxfs}/access", f"{USER} system_u:object_r:b_t:s0 2".encode())]


def test_lets_where_the_kernel_cannot_be_asked(selinuxfs: Path) -> None:
    policy = LoadedPolicy(str(selinuxfs))
    assert policy.lets(USER, USER, "no_such_class", ("execmem",)) is None
    assert policy.lets(USER, USER, "process", ("execmem",)) is None, "there is no file access"
