# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._unit.description import description_of
from ansible_collections.criu.hosts.plugins.module_utils._unit.volumes import Volume, volume_of
from ansible_collections.criu.hosts.tests.unit.container_units import container_params

WEB = {"source": "/srv/web", "target": "/data"}


@pytest.mark.parametrize(
    ("text", "mapping", "expected"),
    [
        ("/srv/web:/data", WEB, Volume("/srv/web", "/data")),
        ("data:/data", {"source": "data", "target": "/data"}, Volume("data", "/data")),
        ("/srv/web:/data:Z", {**WEB, "relabel": "private"}, Volume("/srv/web", "/data", "private")),
        ("/srv/web:/data:z", {**WEB, "relabel": "shared"}, Volume("/srv/web", "/data", "shared")),
        ("/srv/web:/data:ro", {**WEB, "read_only": True}, Volume("/srv/web", "/data", read_only=True)),
        ("/srv/web:/data:rw", {**WEB, "read_only": False}, Volume("/srv/web", "/data")),
        (
            "/srv/web:/data:ro,Z,U,noexec",
            {**WEB, "relabel": "private", "read_only": True, "options": ["U", "noexec"]},
            Volume("/srv/web", "/data", "private", True, ("U", "noexec")),
        ),
        # Podman's words mean the same in the dictionary.
        (
            "/srv/web:/data:U,Z,ro",
            {**WEB, "options": ["U", "Z", "ro"]},
            Volume("/srv/web", "/data", "private", True, ("U",)),
        ),
        ("/srv/web:/data:z", {**WEB, "relabel": "shared", "options": ["z"]}, Volume("/srv/web", "/data", "shared")),
        ("a.volume:/data", {"source": "a.volume", "target": "/data"}, Volume("a.volume", "/data")),
    ],
)
def test_text_and_dictionary_are_the_same_volume(text: str, mapping: dict[str, Any], expected: Volume) -> None:
    assert volume_of(text) == expected
    assert volume_of(mapping) == expected
    assert volume_of(expected.text) == expected


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (Volume("/srv/web", "/data"), "/srv/web:/data"),
        (Volume("data", "/data", options=("U",)), "data:/data:U"),
        (Volume("/srv/web", "/data", "private", True, ("U",)), "/srv/web:/data:Z,ro,U"),
    ],
)
def test_text_of_podman(volume: Volume, expected: str) -> None:
    assert volume.text == expected


@pytest.mark.parametrize(
    "given",
    [
        {**WEB, "relabel": None, "read_only": None, "options": None},
        {**WEB, "read_only": "no", "options": ""},
        {**WEB, "read_only": 0, "options": ["rw"]},
    ],
)
def test_forms_of_values_that_templates_make(given: dict[str, Any]) -> None:
    assert volume_of(given) == Volume("/srv/web", "/data")
    assert volume_of({**given, "read_only": "True", "options": "U,noexec"}).text == "/srv/web:/data:ro,U,noexec"


@pytest.mark.parametrize(
    ("option", "given"),
    [
        # the shape
        ("volumes", 8080),
        ("volumes", ["/srv/web", "/data"]),
        ("volumes", None),
        ("volumes", "/srv/web:/data:Z:ro"),
        ("volumes", {**WEB, "readonly": True}),
        ("volumes.target", "/data"),
        ("volumes.target", ""),
        ("volumes.target", {"source": "/srv/web"}),
        ("volumes.source", {"target": "/data"}),
        # the source
        ("volumes.source", "./web:/data"),
        ("volumes.source", "web/data:/data"),
        ("volumes.source", "../web:/data"),
        ("volumes.source", "~/web:/data"),
        ("volumes.source", ":/data"),
        ("volumes.source", "/srv/a b:/data"),
        ("volumes.source", "-v:/data"),
        ("volumes.source", {**WEB, "source": "web/data"}),
        ("volumes.source", {**WEB, "source": "/srv/a:b"}),
        # the target
        ("volumes.target", "/srv/web:"),
        ("volumes.target", "/srv/web:data"),
        ("volumes.target", "/srv/web:Z"),
        ("volumes.target", "/srv/web::Z"),
        ("volumes.target", {**WEB, "target": "data"}),
        # the options
        ("volumes.options", "/srv/web:/data:"),
        ("volumes.options", "/srv/web:/data:Z,"),
        ("volumes.options", "/srv/web:/data:Z ro"),
        ("volumes.options", "/srv/web:/data:Z,z"),
        ("volumes.options", "/srv/web:/data:ro,rw"),
        ("volumes.options", "/srv/web:/data:U,U"),
        ("volumes.options", {**WEB, "options": ["ro,Z"]}),
        ("volumes.options", {**WEB, "options": {"U": True}}),
        ("volumes.options", {**WEB, "relabel": "private", "options": ["z"]}),
        ("volumes.options", {**WEB, "read_only": True, "options": ["rw"]}),
        ("volumes.relabel", {**WEB, "relabel": "Z"}),
        ("volumes.relabel", {**WEB, "relabel": ["private"]}),
        ("volumes.read_only", {**WEB, "read_only": "maybe"}),
        # folders of the host that keep their label
        ("volumes.source", "/etc:/data:Z"),
        ("volumes.source", "/var/lib/:/data:z"),
        ("volumes.source", {**WEB, "source": "/etc", "options": ["Z"]}),
        ("volumes.source", {**WEB, "source": "/var/lib/", "relabel": "shared"}),
    ],
)
def test_bad_volume(option: str, given: Any) -> None:
    with pytest.raises(CheckpointError) as caught:
        description_of(container_params(volumes=["/srv/good:/good", given]))
    error = caught.value
    assert (error.reason, error.facts["option"]) == ("option_invalid", option)
    assert error.message.startswith(f"Cannot use {option} ") and "\n" not in error.message


def test_folders_that_need_a_label() -> None:
    volumes = ["/srv/a:/a:Z", "/srv/b:/b", "data:/c:Z", {"source": "/srv/d", "target": "/d", "relabel": "shared"}]
    description = description_of(container_params(volumes=volumes))
    assert description.mounts == ("/srv/a", "/srv/b", "/srv/d")
    assert description.labelled == ("/srv/a", "/srv/d")
