# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._unit.description import description_of
from ansible_collections.criu.hosts.tests.unit.container_units import container_params

VOLUME = {"source": "/srv/web", "target": "/data"}
SECRET = {"name": "password", "type": "mount", "target": None}
HEALTH = dict.fromkeys(("interval", "timeout", "retries", "start_period", "on_failure"))

GOOD = [
    pytest.param({}, [], id="nothing-more"),
    pytest.param({"volumes": [VOLUME, "data:/d:z,U"]}, ["--volume=/srv/web:/data", "--volume=data:/d:z,U"]),
    pytest.param({"secrets": [SECRET]}, ["--secret=password,type=mount"]),
    pytest.param(
        {"secrets": [{**SECRET, "type": "env", "target": "PASS"}]}, ["--secret=password,type=env,target=PASS"]
    ),
    pytest.param({"publish": ["127.0.0.1:8080:80/tcp"]}, ["--publish=127.0.0.1:8080:80/tcp"]),
    pytest.param({"publish": ["[::1]:53:53/udp", "9000", "8000-8001:80-81"]}, None),
    pytest.param({"cpus": 1.5, "memory": "512m", "pids_limit": -1}, ["--memory=512m", "--cpus=1.5", "--pids-limit=-1"]),
    pytest.param({"health": {**HEALTH, "command": ["/usr/bin/true"]}}, ['--health-cmd=["/usr/bin/true"]']),
    pytest.param(
        {"health": {**HEALTH, "command": ["CMD", "a", "b"], "retries": 2, "start_period": "1m30s"}},
        ['--health-cmd=["a", "b"]', "--health-retries=2", "--health-start-period=1m30s"],
        id="docker-word-left-out",
    ),
    pytest.param({"entrypoint": ["/bin/sh", "-c"]}, ['--entrypoint=["/bin/sh", "-c"]']),
    pytest.param({"labels": {"b": True, "a": "x y"}}, ["--label=a=x y", "--label=b=true"], id="sorted"),
    pytest.param({"network": "shop", "ip": "10.1.0.2"}, None),
    pytest.param({"read_only": True, "tmpfs": ["/run:size=1m"]}, ["--read-only", "--tmpfs=/run:size=1m"]),
    pytest.param({"command": ["sh", "-c", "a\n\tb;"], "extra_arguments": ["--init"]}, ["--init"]),
    pytest.param({"environment": {"A": "", "B": "$x = %y"}}, []),
    pytest.param({"user": "33:33", "hostname": "web-1", "ip": None}, ["--hostname=web-1", "--user=33:33"]),
]

BAD = [
    ("name", {"name": "../web"}, "name_invalid"),
    ("name", {"name": "web.service"}, "name_invalid"),
    ("image", {"image": None}, "image_needed"),
    ("image", {"image": "x --privileged"}, "option_invalid"),
    ("image", {"image": "-v"}, "option_invalid"),
    ("network", {"network": "host\nUser=root"}, "option_invalid"),
    ("network", {"network": "container:other"}, "option_invalid"),
    ("publish", {"publish": ["80:abc"]}, "option_invalid"),
    ("memory", {"memory": "much"}, "option_invalid"),
    ("cpus", {"cpus": 0.0}, "option_invalid"),
    ("pids_limit", {"pids_limit": -2}, "option_invalid"),
    ("stop_timeout", {"stop_timeout": -1}, "option_invalid"),
    ("ip", {"network": "shop", "ip": "10.0.0.256"}, "option_invalid"),
    ("secrets.name", {"secrets": [{**SECRET, "name": "a,type=env"}]}, "option_invalid"),
    ("secrets.target", {"secrets": [{**SECRET, "target": "a,b"}]}, "option_invalid"),
    ("secrets.target", {"secrets": [SECRET], "stateful": True}, "option_invalid"),
    ("secrets.target", {"secrets": [{**SECRET, "target": "/run/./secrets/a"}], "stateful": True}, "option_invalid"),
    ("after", {"after": ["postgresql"]}, "option_invalid"),
    ("requires", {"requires": ["a.service b.service"]}, "option_invalid"),
    ("description", {"description": "a\n[Service]"}, "option_invalid"),
    ("command", {"command": ["a\x00b"]}, "option_invalid"),
    ("command", {"command": [";"]}, "option_invalid"),
    ("labels", {"labels": {"a b": "c"}}, "option_invalid"),
    ("health.command", {"health": {**HEALTH, "command": []}}, "option_invalid"),
    ("health.interval", {"health": {**HEALTH, "command": ["a"], "interval": "often"}}, "option_invalid"),
    ("health.retries", {"health": {**HEALTH, "command": ["a"], "retries": 0}}, "option_invalid"),
    ("environment_files", {"environment_files": ["relative"]}, "option_invalid"),
    ("tmpfs", {"tmpfs": ["run"]}, "option_invalid"),
    ("capabilities_add", {"capabilities_add": ["NET ADMIN"]}, "option_invalid"),
    ("environment", {"environment": {"A-B C": "x"}}, "option_invalid"),
    ("environment", {"environment": {"A": ["x"]}}, "option_invalid"),
    ("extra_arguments", {"extra_arguments": ["--rm"]}, "option_invalid"),
    ("extra_arguments", {"extra_arguments": ["--env=PASSWORD=x"]}, "option_invalid"),
    (None, {"network": "host", "publish": ["80"]}, "options_conflict"),
    (None, {"network": "none", "ip": "10.0.0.1"}, "options_conflict"),
    (None, {"stateful": True, "unit_kind": "quadlet"}, "options_conflict"),
    (None, {"tcp_established": True}, "options_conflict"),
    (None, {"volumes": [VOLUME, VOLUME]}, "options_conflict"),
    (None, {"volumes": ["/srv/web:/data", "web:/data/"]}, "options_conflict"),
]


@pytest.mark.parametrize(("params", "expected"), GOOD)
def test_options_of_podman(params: dict[str, Any], expected: list[str] | None) -> None:
    asked = container_params(**params)
    assert description_of(asked).name == "web"
    plain = set(description_of(container_params()).options)
    if expected is not None:
        assert [option for option in description_of(asked).options if option not in plain] == expected


@pytest.mark.parametrize(("option", "params", "reason"), BAD)
def test_bad_input(option: str | None, params: dict[str, Any], reason: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        description_of(container_params(**params))
    error = caught.value
    assert error.reason == reason and "\n" not in error.message
    if reason == "option_invalid":
        assert error.facts["option"] == option and str(option) in error.message


def test_value_of_the_environment_is_not_told() -> None:
    with pytest.raises(CheckpointError) as caught:
        description_of(container_params(environment={"KEY": "-----BEGIN\nsecret"}))
    assert "secret (" not in caught.value.message and "BEGIN" not in caught.value.message
    assert "secret" not in repr(description_of(container_params(environment={"A": "secret"})))
