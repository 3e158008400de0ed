# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import word
from ansible_collections.criu.hosts.plugins.module_utils._unit.description import Description, description_of
from ansible_collections.criu.hosts.plugins.module_utils._unit.plan import essence, spec_digest
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.render import render_spec, render_stateful
from ansible_collections.criu.hosts.plugins.module_utils._unit.text import render_plain, render_quadlet
from ansible_collections.criu.hosts.tests.unit.container_units import container_params

PODMAN = "/usr/bin/podman"
ENV = "/etc/criu-hosts/units/web.env"
VOLUME = {"source": "/srv/100%", "target": "/data", "relabel": "private"}
RICH = {
    "description": "100% web",
    "command": ["serve", "--say", 'it\'s "$HOME" 5%\n\\'],
    "environment": {"A": "secret"},
    "environment_files": ["/etc/web.env"],
    "volumes": [VOLUME],
    "network": "host",
    "capabilities_add": ["NET_ADMIN"],
    "capabilities_drop": ["all"],
    "labels": {"team": "one two"},
    "after": ["postgresql.service"],
    "requires": ["postgresql.service"],
    "wants": ["redis.service"],
    "runtime": "crun",
}


def wanted(**params: Any) -> Description:
    return description_of(container_params(**params))


def spec(**params: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render_spec(wanted(stateful=True, **params), ENV, PODMAN, "k"))
    return found


@pytest.mark.parametrize("kind", ["quadlet", "plain"])
def test_whole_units(kind: str, fixture_text: Any) -> None:
    description = wanted(**RICH)
    text = render_quadlet(description, ENV, PODMAN) if kind == "quadlet" else render_plain(description, ENV, PODMAN)
    assert text == fixture_text(f"units/rich-{kind}.txt")
    assert "secret" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--name=web", "--name=web"),
        ("", '""'),
        ("a b", '"a b"'),
        ("$HOME", '"$$HOME"'),
        ("5%", '"5%%"'),
        ("a\\b", '"a\\\\b"'),
        ('"', '"\\""'),
        ("a\n\tb", '"a\\n\\tb"'),
        ("#a", '"#a"'),
        ("é", '"é"'),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert word(text) == expected


@pytest.mark.parametrize(
    ("params", "same"),
    [
        ({"description": "other"}, True),
        ({"after": ["a.service"], "requires": ["a.service"], "wants": ["b.service"]}, True),
        ({"restart": "always", "restart_seconds": 1}, True),
        ({"enabled": False}, True),
        ({"image": "localhost/web:2"}, False),
        ({"command": ["other"]}, False),
        ({"memory": "1g"}, False),
        ({"runtime": "runc"}, False),
        ({"environment": {"A": "b"}}, False),
    ],
)
def test_what_makes_another_container(params: dict[str, Any], same: bool) -> None:
    """The same changes in each kind of unit."""
    plain = [render_plain(wanted(**one), ENV, PODMAN) for one in ({}, params)]
    quadlet = [render_quadlet(wanted(**one), ENV, PODMAN) for one in ({}, params)]
    assert (essence(plain[0]) == essence(plain[1])) is same
    assert (essence(quadlet[0]) == essence(quadlet[1])) is same
    assert (spec()["digest"] == spec(**params)["digest"]) is same


def test_options_of_the_checkpoint_make_no_other_container() -> None:
    other = spec(tcp_established=True, file_locks=True, on_restore_failure="refuse")
    assert other["digest"] == spec()["digest"] and other["tcp_established"] is True


def test_stateful_container_can_be_restored() -> None:
    create = spec(environment={"A": "b"})["create"]
    assert create[:2] == ["/usr/bin/podman", "create"] and create[-1] == "localhost/web:1"
    assert f"--label=criu.hosts.digest={spec(environment={'A': 'b'})['digest']}" in create
    assert f"--env-file={ENV}" in create and "--rm" not in create and "--cgroups=no-conmon" in create
    assert spec(environment={"A": "c"})["digest"] != spec(environment={"A": "b"})["digest"]


def test_stateful_unit_calls_the_program() -> None:
    text = render_stateful(wanted(stateful=True, restart="no"))
    assert "Type=forking\n" in text and "stop web\n" in text and "Restart=no\n" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("{", None), ("[]", None), ("{}", None), ('{"digest": "a"}', "a")],
)
def test_digest_of_a_spec(text: str | None, expected: str | None) -> None:
    assert spec_digest(text) == expected


def test_long_command_is_one() -> None:
    text = "[Service]\nExecStart=/a \\\n  --b\nRestart=no\n"
    assert essence(text) == ("ExecStart=/a --b",)


@pytest.mark.parametrize("render", [render_plain, render_quadlet])
@pytest.mark.parametrize("name", ["db", "cafe", "42", "d"])
def test_a_unit_reaches_no_container_whose_id_begins_with_its_name(render: Any, name: str) -> None:
    text = render(wanted(name=name), ENV, PODMAN).replace(" \\\n  ", " ")
    lines = [line for line in text.splitlines() if line.startswith("Exec") and PODMAN in line]
    removal = f'{PODMAN} rm --force --ignore --volumes --filter "name=^{name}$$"'
    assert f"ExecStartPre=-{removal}" in lines
    assert all(word != name for line in lines for word in line.split())
    if render is render_quadlet:
        assert "PodmanArgs=--replace=false" in text
    else:
        assert f"ExecStopPost=-{removal}" in lines and "--replace" not in text
        assert f'ExecStop={PODMAN} stop --ignore --time=10 --filter "name=^{name}$$"' in lines
