# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container has mounted from the host, in the configuration of its OCI runtime."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Bind, from_record, to_record
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.binds import parse_binds
from ansible_collections.criu.hosts.tests.unit.containers import recorded


def test_recorded_configuration() -> None:
    found = parse_binds(json.loads(recorded("oci-binds.json")))
    assert {(one.source, one.target, one.sheltered) for one in found if not one.own} == {
        ("/srv/conf/app.conf", "/etc/app.conf", False),
        ("/srv/t/a b", "/t", False),
        ("/srv/t/a b/x", "/dev/x", True),
        ("/srv/link", "/data", False),
        ("/srv/conf/moved", "/m", False),
        ("/srv/conf/d", "/d", False),
        ("/var/lib/containers/storage/volumes/vol/_data", "/vol", False),
    }
    assert {one.target for one in found if one.own} >= {"/etc/hosts", "/dev/shm", "/run/.containerenv"}


ODD = [
    pytest.param({}, (), id="no-mounts"),
    pytest.param({"mounts": "x"}, (), id="no-list"),
    pytest.param({"mounts": [None, 1, {}, {"type": "bind", "source": 1, "destination": "/x"}]}, (), id="no-texts"),
    pytest.param({"mounts": [{"type": "bind", "source": "/a\0b", "destination": "/x"}]}, (), id="zero"),
    pytest.param({"mounts": [{"type": "bind", "source": "/\ud800", "destination": "/x"}]}, (), id="half-a-character"),
    pytest.param({"mounts": [{"type": "bind", "source": "a", "destination": "/x"}]}, (), id="relative"),
    pytest.param({"mounts": [{"type": "tmpfs", "source": "/a", "destination": "/x"}]}, (), id="no-bind"),
    pytest.param(
        {"mounts": [{"source": "//a/./b/", "destination": "/x/", "options": ["rbind"]}]},
        (Bind("/a/b", "/x"),),
        id="by-option",
    ),
    pytest.param(
        {"mounts": [{"type": "bind", "source": "/a\nb", "destination": "/x"}]}, (Bind("/a\nb", "/x"),), id="newline"
    ),
]


@pytest.mark.parametrize("config, found", ODD)
def test_odd_configurations(config: dict[str, Any], found: tuple[Bind, ...]) -> None:
    assert parse_binds(config) == found


def test_a_record_keeps_what_a_restore_needs() -> None:
    binds = (Bind("/srv/a", "/a", sheltered=True), Bind("/own", "/etc/hosts", own=True))
    assert from_record(json.loads(json.dumps(list(to_record(binds))))) == binds[:1]
