# SPDX-License-Identifier: GPL-3.0-or-later
"""Why docker's commands failed, by recorded output."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.causes import ANSWERS, cause_of
from ansible_collections.criu.hosts.tests.unit.docker_host import recorded

CAUSES = [
    ("checkpoint-not-experimental", "ability_missing", "experimental features are off"),
    ("checkpoint-no-criu", "criu_missing", "runc does not find criu"),
    ("checkpoint-config-broken", "config_broken", "CRIU refuses its options"),
    ("checkpoint-failed", "tool_failed", "criu failed: type NOTIFY errno 0"),
    ("start-restore-failed", "tool_failed", "criu failed: type NOTIFY errno 0"),
    ("start-content-exists", "restore_leftovers", "containerd still holds"),
    ("start-port-in-use", "port_in_use", "'listen tcp4 0.0.0.0:8080'"),
    ("start-address-in-use", "address_in_use", "has its IP address"),
    ("start-source-missing", "mount_source_missing", "'/srv/t/dir'"),
    ("start-network-missing", "network_missing", "is not on this host"),
    ("start-no-checkpoint", "tool_failed", "checkpoint nosuch does not exist for container /web"),
    ("start-custom-dir", "tool_failed", "custom checkpointdir is not supported"),
    ("create-no-image", "image_missing", "'nosuch:latest'"),
    ("create-name-in-use", "container_exists", "the name is taken"),
    ("inspect-no-daemon", "engine_not_running", "does not run"),
]


@pytest.mark.parametrize(("case", "reason", "words"), CAUSES, ids=[case for case, *dummy in CAUSES])
def test_cause(case: str, reason: str, words: str) -> None:
    text = recorded(f"{case}.txt")
    for completed in (Completed(("docker",), 1, "", text), Completed(("docker",), 0, text, "")):
        cause = cause_of(completed)
        assert (cause.reason, words in cause.why) == (reason, True), cause.why
        assert cause.why.isprintable()
        assert not cause.why.endswith(".")


def test_every_answer_is_recorded_or_in_the_source() -> None:
    """These three need a second container or a full disk; their words are those of moby (libnetwork, daemon)."""
    others = [
        "failed to set up container networking: driver failed programming external connectivity on endpoint web (5b): "
        "Bind for 0.0.0.0:8080 failed: port is already allocated",
        f"cannot join network of a non running container: {'a' * 64}",
        "failed to upload checkpoint to containerd: write /var/lib/containerd/x: no space left on device",
    ]
    texts = [recorded(f"{case}.txt") for case, *dummy in CAUSES] + [
        f"Error response from daemon: {one}" for one in others
    ]
    reasons = {cause_of(Completed(("docker",), 1, "", text)).reason for text in texts}
    assert {answer.cause.reason for answer in ANSWERS} <= reasons


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Error response from daemon: x: 'no such image: y'", id="quoted"),
        pytest.param('{"message":5}', id="no-message"),
        pytest.param('{"message":', id="cut-off"),
        pytest.param("", id="empty"),
        pytest.param("Error response from daemon: \x1b[31mred", id="escape"),
    ],
)
def test_other_words_are_no_cause(text: str) -> None:
    assert cause_of(Completed(("docker",), 1, text, "")).reason == "tool_failed"
