# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman's sentences are its own: names that others chose are no reason."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.causes import cause_of
from ansible_collections.criu.hosts.tests.unit.containers import recorded


def cause(err: str) -> Cause:
    return cause_of(Completed(("podman",), 125, "", err))


@pytest.mark.parametrize(
    ("err", "reason"),
    [
        (recorded("checkpoint-disk-full.txt"), "disk_full"),
        (recorded("import-foreign.txt"), "archive_invalid"),
        (recorded("import-id-in-use.txt"), "container_exists"),
        (recorded("import-wrong-runtime.txt"), "archive_runtime_missing"),
        (recorded("restore-cgroup-in-use.txt"), "cgroup_in_use"),
        (recorded("restore-port-in-use.txt"), "port_in_use"),
        (recorded("restore-address-in-use.txt"), "address_in_use"),
        (recorded("restore-source-missing-runc.txt"), "mount_source_missing"),
        (recorded("restore-source-missing-crun.txt"), "mount_source_missing"),
        (recorded("checkpoint-config-broken.txt"), "config_broken"),
        (recorded("pre-checkpoint-no-soft-dirty-crun.txt"), "memory_tracking_missing"),
        (recorded("pre-checkpoint-no-soft-dirty-runc.txt"), "memory_tracking_missing"),
        ("Error: system (architecture/kernel/CRIU) does not support memory tracking\n", "memory_tracking_missing"),
        ("Error: runc: write /sys/fs/cgroup/cpuset/a/cpuset.cpus: no space left on device\n", "tool_failed"),
        ("Error: runc: unable to create session key: disk quota exceeded\n", "tool_failed"),
        ("Error: configured runtime does not support checkpoint/restore\n", "runtime_cannot_checkpoint"),
        ("Error: OCI runtime error: crun: could not load `libcriu.so.2`: x\n", "runtime_cannot_checkpoint"),
        ("2026-11-22T21:48:28.1Z: could not load `libcriu.so.2`: x\nError: y\n", "runtime_cannot_checkpoint"),
        (
            'Error: creating container storage: the container name "web" is already in use by f00. You have to remove '
            "that container to be able to reuse that name: that name is already in use\n",
            "name_in_use",
        ),
        (f"Error: OCI runtime error: crun: container `{'0f' * 32}` already exists\n", "restore_leftovers"),
        ("Error: OCI runtime error: runc: container with given ID already exists\n", "restore_leftovers"),
        (
            f"Error: OCI runtime error: crun: sd-bus call: Unit libpod-{'0f' * 32}.scope was already loaded or has a "
            "fragment file.: File exists\n",
            "restore_leftovers",
        ),
        ('Error: short-name "web" did not resolve to an alias\n', "image_missing"),
    ],
)
def test_own_sentences(err: str, reason: str) -> None:
    assert cause(err).reason == reason


@pytest.mark.parametrize(
    ("recording", "named"),
    [
        ("restore-port-in-use.txt", "tcp4 :18080"),
        ("restore-address-in-use.txt", "10.88.0.55"),
        ("restore-source-missing-runc.txt", "/srv/src"),
        ("restore-source-missing-crun.txt", "/srv/src"),
    ],
)
def test_the_cause_names_the_thing(recording: str, named: str) -> None:
    assert cause(recorded(recording)).why.endswith(repr(named))


@pytest.mark.parametrize(
    "words",
    [
        "does not support checkpoint/restore",
        "libcriu.so",
        "cannot be restored with runtime",
        "unexpected EOF",
        "volume with name a already exists",
        "that ID is already in use",
        "name a is in use",
        "cgroup is not empty",
        "initializing source",
        "no such image",
        "container with given ID already exists",
        "no space left on device",
    ],
)
@pytest.mark.parametrize(
    "form", ["Error: open /tmp/{}: permission denied\n", 'Error: bad label "{}" of x\n', "Error: `runc {}` failed: 1\n"]
)
def test_names_are_no_reason(words: str, form: str) -> None:
    assert cause(form.format(words)).reason == "tool_failed"


@pytest.mark.parametrize(
    "text", ["`" * 2_000_000, "Error: " * 300_000, "name " * 400_000, "`a b" * 500_000, "/" * 2_000_000]
)
def test_endless_lines(text: str) -> None:
    for err in (text, f"Error: {text}", f"checkpoint archive {text}", f"{text}\n" * 3):
        assert len(cause(err).why) <= 2000


@pytest.mark.parametrize(
    "noise", ["Error: ipv4: Address already assigned.\n", "Error: ipv6: address already assigned\n"]
)
@pytest.mark.parametrize(
    ("words", "why"),
    [
        pytest.param("Error: no such thing\n", "no such thing", id="an-error"),
        pytest.param(
            "Error: container creation timeout: internal libpod error\n",
            "podman has waited for the OCI runtime in vain",
            id="the-end-of-its-patience",
        ),
    ],
)
def test_noise_of_crius_tools_is_not_quoted(noise: str, words: str, why: str) -> None:
    assert cause(noise + words).why == why
    assert cause(words + noise).why == why
