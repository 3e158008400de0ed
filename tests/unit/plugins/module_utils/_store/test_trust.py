# SPDX-License-Identifier: GPL-3.0-or-later
"""The trust policy of a host: how it is read, and what it says about a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec, label_names, parse_spec
from ansible_collections.criu.hosts.plugins.module_utils._store.trust import (
    OF_PROCESSES,
    Policy,
    judge,
    parse_policy,
    read_policy,
    refused,
)
from ansible_collections.criu.hosts.tests.unit.trusted import write_policy

SPEC = Spec(
    images=("docker.io/library/redis:7",),
    labels=("container_t",),
    mounts=("/srv/redis",),
    capabilities=("CAP_CHOWN", "CAP_SETUID"),
    devices=("/dev/fuse c 10:229",),
)


def reasons(policy: Policy, spec: Spec = SPEC, **more: Any) -> list[str]:
    return [one.word for one in judge(policy, spec, **more)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(Policy(), [], id="no-rule"),
        pytest.param(Policy(images=("docker.io/library/*",)), [], id="image"),
        pytest.param(Policy(images=("docker.io/library/redis",)), ["trust_image"], id="image-other-tag"),
        pytest.param(Policy(images=("DOCKER.IO/*",)), ["trust_image"], id="image-other-case"),
        pytest.param(Policy(labels=("container_t",)), [], id="label"),
        pytest.param(Policy(labels=("containers-default-*",)), ["trust_label"], id="label-of-another-kind"),
        pytest.param(Policy(mounts=("/srv/*",)), [], id="mount"),
        pytest.param(Policy(mounts=("/srv",)), ["trust_mount"], id="mount-below"),
        pytest.param(Policy(mounts=()), ["trust_mount"], id="no-mounts"),
        pytest.param(Policy(capabilities=("CAP_CHOWN", "CAP_SETUID")), [], id="capabilities"),
        pytest.param(Policy(capabilities=("CAP_CHOWN",)), ["trust_capability"], id="one-capability-more"),
        pytest.param(Policy(devices=("/dev/fuse c 10:229",)), [], id="device"),
        pytest.param(Policy(devices=("/dev/fuse b 8:0",)), ["trust_device"], id="device-with-other-numbers"),
        pytest.param(
            Policy(images=(), labels=(), mounts=(), capabilities=(), devices=()),
            ["trust_image", "trust_label", "trust_mount", "trust_capability", "trust_device"],
            id="all-at-once",
        ),
        pytest.param(Policy(signers=()), [], id="signers-are-not-judged-here"),
    ],
)
def test_judge(policy: Policy, expected: list[str]) -> None:
    assert reasons(policy) == expected


def test_nothing_of_a_kind_is_accepted_by_an_empty_list() -> None:
    assert reasons(Policy(mounts=(), devices=()), Spec()) == []


def test_only_the_kinds_that_a_process_has() -> None:
    assert reasons(Policy(images=(), labels=(), mounts=()), kinds=OF_PROCESSES) == ["trust_label"]


def test_messages_are_one_line_and_short() -> None:
    devices = tuple(f"/dev/{'x' * 400}\n{number}" for number in range(900))
    found = judge(Policy(devices=()), Spec(devices=devices))
    assert "and 895 more are not in its list of devices" in found[0].message
    error = refused("restore container 'web'", "/a/b", found)
    assert "\n" not in error.message and len(error.message) < 1200 and error.reason == "trust_refused"
    assert error.facts["refusals"] == [{"reason": "trust_device", "message": found[0].message}]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        pytest.param(["system_u:system_r:container_t:s0:c1,c2"], ["container_t"], id="selinux"),
        pytest.param(["system_u:system_r:spc_t:s0\0"], ["spc_t"], id="selinux-of-the-kernel"),
        pytest.param(["containers-default-0.62.2 (enforce)"], ["containers-default-0.62.2"], id="apparmor"),
        pytest.param(["lab//&:ns:inner (enforce)"], ["lab//&:ns:inner"], id="stacked"),
        pytest.param(["", "unconfined", "\n"], ["unconfined"], id="none"),
        pytest.param([None], [], id="absent"),
    ],
)
def test_label_names(labels: list[str | None], names: list[str]) -> None:
    assert label_names(labels) == tuple(names)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "Expecting value", id="empty"),
        pytest.param("signers: [a]", "Expecting value", id="yaml"),
        pytest.param("[]", "instead of an object", id="list"),
        pytest.param("{}", "schema", id="no-schema"),
        pytest.param('{"schema": 2}', "schema", id="later-schema"),
        pytest.param('{"schema": true}', "schema", id="schema-is-no-number"),
        pytest.param('{"schema": 1, "image": []}', "'image'", id="misspelled"),
        pytest.param('{"schema": 1, "images": "*"}', "'images'", id="text-instead-of-a-list"),
        pytest.param('{"schema": 1, "mounts": null}', "'mounts'", id="null"),
        pytest.param('{"schema": 1, "devices": [1]}', "'devices'", id="number-in-a-list"),
        pytest.param('{"schema": 1, "labels": ["a\\n"]}', "'labels'", id="line-feed"),
    ],
)
def test_policies_that_nobody_can_have_meant(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_policy(text)


def test_parsed() -> None:
    assert parse_policy('{"schema": 1, "signers": ["a"], "mounts": []}') == Policy(signers=("a",), mounts=())
    assert parse_spec({"images": ["a"], "devices": []}) == Spec(images=("a",))
    with pytest.raises(ValueError, match="'caps'"):
        parse_spec({"caps": []})


def test_no_policy(tmp_path: Path) -> None:
    assert read_policy(Paths(str(tmp_path))) is None


def test_read(tmp_path: Path) -> None:
    write_policy(tmp_path, images=["a*"])
    assert read_policy(Paths(str(tmp_path))) == Policy(images=("a*",))


@pytest.mark.parametrize(
    "kind", ["link", "dangling", "folder", "pipe", "writable", "foreign", "folder-of-all", "large"]
)
def test_a_policy_that_others_can_change_refuses_everything(tmp_path: Path, kind: str) -> None:
    path = write_policy(tmp_path)
    if kind in ("link", "dangling"):
        moved = tmp_path / "moved"
        os.replace(path, moved)
        path.symlink_to(moved if kind == "link" else tmp_path / "nothing")
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    elif kind == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif kind == "writable":
        path.chmod(0o664)
    elif kind == "foreign":
        os.chown(path, 65534, 65534)
    elif kind == "folder-of-all":
        path.parent.chmod(0o777)
    else:
        path.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(CheckpointError) as caught:
        read_policy(Paths(str(tmp_path)))
    assert caught.value.reason == "trust_policy_invalid" and caught.value.facts["path"] == str(path)
