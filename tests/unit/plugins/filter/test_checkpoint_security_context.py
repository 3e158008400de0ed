# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.filter.checkpoint_security_context import (
    KNOWN,
    FilterModule,
    checkpoint_security_context,
)


def test_what_was_run_by_podman_kube_play() -> None:
    """docs/without-root.md has the manifest that ran."""
    found = FilterModule().filters()["checkpoint_security_context"](
        1000, group=1000, selinux={"type": "criu_container_t", "level": ""}
    )
    assert found == {
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "runAsNonRoot": True,
        "privileged": False,
        "allowPrivilegeEscalation": True,
        "capabilities": {"drop": ["ALL"], "add": ["CHECKPOINT_RESTORE", "SYS_PTRACE", "NET_ADMIN"]},
        "seccompProfile": {"type": "Unconfined"},
        "seLinuxOptions": {"type": "criu_container_t"},
    }


def test_the_group_is_that_of_the_user_and_the_engine_chooses_the_label() -> None:
    found = checkpoint_security_context(33)
    assert found["runAsGroup"] == 33 and "seLinuxOptions" not in found
    assert checkpoint_security_context(33, 0)["runAsGroup"] == 0


def test_each_capability_once() -> None:
    found = checkpoint_security_context(1, capabilities=["SETPCAP", "CHECKPOINT_RESTORE", "SETPCAP"])
    assert found["capabilities"]["add"] == ["SETPCAP", "CHECKPOINT_RESTORE"]


def test_known_capabilities_are_those_of_linux_5_9() -> None:
    assert len(KNOWN) == 41 and {"CHOWN", "CHECKPOINT_RESTORE"} <= KNOWN


REFUSED: list[Any] = [
    pytest.param({"user": 0}, "the user is 0. Give a number from 1 to 2147483647", id="root"),
    pytest.param({"user": "1000"}, "the user is '1000'", id="text"),
    pytest.param({"user": True}, "the user is True", id="truth"),
    pytest.param({"user": 1 << 31}, "the user is 2147483648", id="too-high"),
    pytest.param({"group": -1}, "the group is -1. Give a number from 0", id="negative-group"),
    pytest.param({"capabilities": "CHECKPOINT_RESTORE"}, "Give a list of names", id="no-list"),
    pytest.param({"capabilities": [1]}, "Give a list of names", id="no-names"),
    pytest.param({"capabilities": ["CAP_CHECKPOINT_RESTORE"]}, "no capability 'CAP_CHECKPOINT_RESTORE'", id="prefix"),
    pytest.param({"capabilities": ["CHECKPOINT_RESTORE", "ALL"]}, "the capability ALL the container", id="all"),
    pytest.param({"capabilities": ["CHECKPOINT_RESTORE", "SYS_ADMIN"]}, "the capability SYS_ADMIN", id="admin"),
    pytest.param({"capabilities": ["SYS_PTRACE"]}, "the capabilities lack CHECKPOINT_RESTORE", id="without"),
    pytest.param({"selinux": {"user": "system_u"}}, "Give a dictionary with type and level", id="other-option"),
    pytest.param({"selinux": "container_t"}, "Give a dictionary with type and level", id="no-dictionary"),
    pytest.param({"selinux": {"type": "a:b"}}, "the SELinux type is 'a:b', which is none", id="no-type"),
    pytest.param({"selinux": {"level": "c1,c2"}}, "the SELinux level is 'c1,c2', which is none", id="no-level"),
]


@pytest.mark.parametrize(("options", "why"), REFUSED)
def test_what_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^Cannot make a security context for CRIU: ") as caught:
        checkpoint_security_context(**{"user": 1000, **options})
    assert why in str(caught.value) and "\n" not in str(caught.value)
