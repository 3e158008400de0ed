# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's recorded answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Bind
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.answers import (
    binds_of,
    entry_of,
    parse_image,
    parse_inspect,
    restart_of,
    runtime_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.networks import parse_holders
from ansible_collections.criu.hosts.tests.unit.docker_host import IMAGE, inspected, recorded


@pytest.mark.parametrize(
    ("case", "status"),
    [
        pytest.param("running", "running", id="running"),
        pytest.param("paused", "paused", id="paused"),
        pytest.param("checkpointed", "exited", id="checkpointed"),
        pytest.param("restored", "running", id="restored"),
        pytest.param("restore-failed", "exited", id="restore-failed"),
        pytest.param("created", "created", id="created"),
    ],
)
def test_inspect(case: str, status: str) -> None:
    found = parse_inspect(recorded(f"inspect-{case}.json"))
    assert found.status == status
    assert bool(found.pid) is found.alive
    assert bool(found.started_at) is (case != "created")
    assert (found.runtime, found.image, found.image_id) == ("runc", "lab/workload:1", IMAGE)
    assert not found.checkpointed and not found.restored_at
    # Docker makes the files when it starts the container.
    assert found.own["folder"] == ("" if case == "created" else f"/var/lib/docker/containers/{found.id}")


def test_inspect_of_a_container_with_everything() -> None:
    found = parse_inspect(recorded("inspect-running.json"))
    assert found.name == "web"
    assert found.volumes == ("1f657c45e1362396c2dab24d78e6a1399e94f4c78d3071d07b8acc5a691a7f9b", "data")
    assert found.ports == ({"ip": "", "port": 8080, "count": 1, "protocol": "tcp"},)
    assert found.networks == {"lan": ["10.9.0.7"]}
    assert found.criu_config == "/etc/criu/web.conf"
    assert found.labels == {"a": "b"}
    assert found.own["upper"].startswith("/var/lib/docker/overlay2/")
    assert binds_of(entry_of(found)) == (Bind("/srv/t/dir", "/b"),)


def test_an_address_that_docker_chose_is_not_asked_for_again() -> None:
    assert parse_inspect(recorded("inspect-policy.json")).networks == {"bridge": []}


def test_a_container_without_a_network_of_its_own() -> None:
    found = parse_inspect(recorded("inspect-host.json"))
    assert found.networks == {}
    # Without a log, other files of the container name its folder.
    assert found.own["folder"].endswith(found.id)


def test_a_container_in_the_network_of_another_has_no_folder_by_that_ones_files() -> None:
    entry = inspected("running")
    for key in ("HostnamePath", "HostsPath", "ResolvConfPath"):
        entry[key] = f"/var/lib/docker/containers/{'f' * 64}/x"
    assert parse_inspect(json.dumps([entry])).own["folder"].endswith(entry["Id"])
    entry["LogPath"] = ""
    assert parse_inspect(json.dumps([entry])).own["folder"] == ""


@pytest.mark.parametrize(
    ("case", "policy", "removed"),
    [
        pytest.param("policy", "on-failure:3", False, id="policy"),
        pytest.param("running", "", False, id="none"),
        pytest.param("auto-remove", "", True, id="rm"),
    ],
)
def test_what_docker_does_by_itself(case: str, policy: str, removed: bool) -> None:
    found = parse_inspect(recorded(f"inspect-{case}.json"))
    assert (found.restart, found.auto_remove) == (policy, removed)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, ""),
        ({"Name": "no", "MaximumRetryCount": 0}, ""),
        ({"Name": "always", "MaximumRetryCount": 0}, "always"),
        ({"Name": "unless-stopped"}, "unless-stopped"),
        ({"Name": "on-failure", "MaximumRetryCount": 5}, "on-failure:5"),
    ],
)
def test_restart_of(policy: dict[str, Any], expected: str) -> None:
    assert restart_of(policy) == expected


@pytest.mark.parametrize(
    ("label", "owner"), [("com.docker.swarm.service.name", "swarm"), ("io.kubernetes.pod.name", "the kubelet")]
)
def test_containers_of_others(label: str, owner: str) -> None:
    entry = inspected("running")
    entry["Config"]["Labels"] = {label: "x"}
    assert parse_inspect(json.dumps([entry])).owner == owner


@pytest.mark.parametrize("name", ["", "runc", "io.containerd.runc.v2"])
def test_the_names_of_runc(name: str) -> None:
    assert runtime_of(name) == "runc"


def test_another_runtime_keeps_its_name() -> None:
    assert runtime_of("kata") == "kata"


def test_the_answer_of_podman_is_told_apart() -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_inspect('[{"Id": "1", "Name": "web", "OCIRuntime": "crun", "State": {"Status": "running"}}]')
    assert caught.value.reason == "engine_mismatch"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "[{}]", '[{"State": 5}]', "null", "5", '"a"', "[null]", "[[]]", "[" * 100_000, "[NaN]", "\0"],
)
def test_an_answer_that_is_something_else(text: str) -> None:
    for parse, reason in ((parse_inspect, "tool_failed"), (parse_image, "answer_invalid")):
        with pytest.raises(CheckpointError) as caught:
            parse(text)
        assert caught.value.reason == reason
        assert caught.value.message.isprintable()


WRONG = [
    pytest.param("Image", "latest", id="image-without-digest"),
    pytest.param("HostsPath", "etc/hosts", id="relative-path"),
    pytest.param("HostsPath", "/var/../etc/hosts", id="path-that-leads-out"),
    pytest.param("Mounts", {"a": 1}, id="mounts-no-list"),
    pytest.param("GraphDriver", [], id="driver-no-object"),
    pytest.param("Name", "/a\nb", id="name-with-line-feed"),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_type_is_refused(key: str, value: Any) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_inspect(json.dumps([{**inspected("running"), key: value}]))
    assert caught.value.reason == "tool_failed"


def test_a_mount_below_a_tmpfs_is_sheltered() -> None:
    entry = inspected("running")
    entry["HostConfig"]["Tmpfs"] = {"/run": ""}
    entry["Mounts"] = [{"Type": "bind", "Source": "/a", "Destination": "/run/a"}]
    assert binds_of(entry) == (Bind("/a", "/run/a", sheltered=True),)


def test_image() -> None:
    assert parse_image(recorded("image-inspect.json")).id == IMAGE


def test_holders_of_addresses() -> None:
    assert parse_holders(recorded("network-inspect.json")) == {"10.9.0.7": "web"}
