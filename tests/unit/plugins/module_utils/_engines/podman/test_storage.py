# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of podman's storage: which containers have categories that an archive's label reaches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.storage import has_lost_name, storage_of
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import categories
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, put_host

TYPE = "system_u:system_r:container_t"
LABEL = f"{TYPE}:s0:c1,c5"


@pytest.fixture(autouse=True)
def storage(tmp_path: Path) -> Path:
    put_host(tmp_path, 0)
    folder = tmp_path / "var/lib/containers/storage"
    (folder / "overlay-containers").mkdir(parents=True)
    return folder


def put(path: Path, *labels: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [
        {"id": "a" * 64, "names": [f"c{number}"], "flags": {"ProcessLabel": one}} for number, one in enumerate(labels)
    ]
    path.write_text(json.dumps(entries))


@pytest.mark.parametrize(
    "name",
    [
        "overlay-containers/containers.json",
        "overlay-containers/volatile-containers.json",
        "vfs-containers/containers.json",
    ],
)
def test_each_list_counts(storage: Path, name: str) -> None:
    put(storage / name, f"{TYPE}:s0:c1,c6", LABEL)
    assert Podman(PLACE.paths).sharing(LABEL) == ("c1",)


def test_no_list_is_no_container() -> None:
    assert Podman(PLACE.paths).sharing(LABEL) == ()


def test_a_store_that_is_emptied_at_a_boot(tmp_path: Path) -> None:
    put(tmp_path / "run/containers/storage/overlay-containers/volatile-containers.json", LABEL)
    assert Podman(PLACE.paths).sharing(LABEL) == ("c0",)


def test_another_place_than_the_usual(tmp_path: Path, storage: Path) -> None:
    put(storage / "overlay-containers/containers.json", LABEL)
    conf = tmp_path / "etc/containers/storage.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text('[storage]\ndriver = "btrfs"\n# graphroot = "/old"\ngraphroot = "/srv/podman"\n')
    put(tmp_path / "srv/podman/btrfs-containers/containers.json", "", LABEL)
    assert Podman(PLACE.paths).sharing(LABEL) == ("c1",)


def test_another_driver_in_the_usual_place(storage: Path) -> None:
    put(storage / "btrfs-containers/containers.json", "", LABEL)
    assert Podman(PLACE.paths).sharing(LABEL) == ("c1",)


def test_a_place_that_is_not_known_is_no_silence(tmp_path: Path) -> None:
    conf = tmp_path / "etc/containers/storage.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text('[storage]\ngraphroot = "/srv/gone"\n')
    with pytest.raises(CheckpointError, match=r"Check graphroot in storage\.conf") as caught:
        Podman(PLACE.paths).sharing(LABEL)
    assert caught.value.reason == "categories_unknown"


@pytest.mark.parametrize(
    ("conf", "used", "expected"),
    [
        ("", [], ("/var/lib/containers/storage", "overlay")),
        ('driver = "overlay"\n', ["btrfs"], ("/var/lib/containers/storage", "btrfs")),
        ('driver = "btrfs"\n', ["btrfs", "overlay"], ("/var/lib/containers/storage", "btrfs")),
        ('driver = ""\n#graphroot = "/old"\n', ["vfs"], ("/var/lib/containers/storage", "vfs")),
        ('driver = "zfs"\ngraphroot = "/srv/podman"\n', ["overlay"], ("/srv/podman", "zfs")),
    ],
)
def test_the_storage(tmp_path: Path, conf: str, used: list[str], expected: tuple[str, str]) -> None:
    root = tmp_path / "var/lib/containers/storage"
    (root / "overlay-containers").rmdir()
    for driver in used:
        (root / f"{driver}-containers").mkdir()
    (tmp_path / "etc/containers").mkdir(parents=True)
    (tmp_path / "etc/containers/storage.conf").write_text(f"[storage]\n{conf}")
    assert storage_of(PLACE.paths) == dict(zip(("root", "driver"), expected))


@pytest.mark.parametrize(
    ("label", "shared"),
    [
        pytest.param(LABEL, True, id="the-same"),
        pytest.param(f"{TYPE}:s0:c5,c1", True, id="another-order"),
        pytest.param(f"{TYPE}:s0:c0.c1023", True, id="all"),
        pytest.param(f"{TYPE}:s0-s0:c1,c5", True, id="range"),
        pytest.param("system_u:system_r:container_init_t:s0:c1,c5", True, id="another-type"),
        pytest.param(f"{TYPE}:s0:c1", False, id="one-of-them"),
        pytest.param(f"{TYPE}:s0:c1,c6", False, id="others"),
        pytest.param(f"{TYPE}:s0", False, id="none"),
        pytest.param("", False, id="no-label"),
        pytest.param("c1,c5", False, id="no-context"),
    ],
)
def test_which_labels_reach_the_container(storage: Path, label: str, shared: bool) -> None:
    put(storage / "overlay-containers/containers.json", LABEL)
    assert bool(Podman(PLACE.paths).sharing(label)) is shared


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("s0:c1.c3,c9", {1, 2, 3, 9}),
        ("s0:c3.c1", set()),
        ("s0:" + "c9999," * 100_000, {9999}),
        ("s0:c" + "9" * 5000, set()),
        ("s0:c\u0661", set()),
        ("s0:c-1", set()),
    ],
)
def test_categories(level: str, expected: set[int]) -> None:
    assert categories(f"{TYPE}:{level}") == expected


LISTS = [
    *("", "{", "{}", "5", '"a"', "[1]", "[[]]", "[" * 100_000, "[NaN]", '[{"id": 5}]', '[{"names": ["a"]}]'),
    *('[{"id": "a", "names": {"b": 1}}]', '[{"id": "a", "flags": []}]x', '[{"id": "a", "flags": "x"}]'),
    '[{"id": "a", "flags": {"ProcessLabel": 5}}]',
]


@pytest.mark.parametrize("text", LISTS)
def test_a_list_that_is_none(storage: Path, text: str) -> None:
    """Then it is not known who shares the label, which is no reason to say that nobody does."""
    (storage / "overlay-containers/containers.json").write_text(text)
    with pytest.raises(CheckpointError) as caught:
        Podman(PLACE.paths).sharing(LABEL)
    assert caught.value.reason == "categories_unknown" and caught.value.message.isprintable()
    assert Podman(PLACE.paths).sharing("") == ()


def test_podman_keeps_its_containers_elsewhere(storage: Path) -> None:
    (storage / "overlay-containers").rmdir()
    with pytest.raises(CheckpointError, match="is not the folder of podman's containers"):
        Podman(PLACE.paths).sharing(LABEL)


def test_a_list_that_is_a_link(storage: Path) -> None:
    (storage / "overlay-containers/containers.json").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="symbolic links"):
        Podman(PLACE.paths).sharing(LABEL)


class Asked:
    """Podman has each image."""

    def __init__(self) -> None:
        self.argv: list[Any] = []

    def run(self, argv: Any, **dummy: Any) -> Completed:
        self.argv.append(argv)
        return Completed(tuple(argv), 0, "", "")


@pytest.mark.parametrize("text", [*LISTS, '[{"id": {}}]', "null"])
def test_an_image_when_the_list_is_none(storage: Path, text: str) -> None:
    (storage / "overlay-images").mkdir()
    (storage / "overlay-images/images.json").write_text(text)
    runner = Asked()
    assert Podman(PLACE.paths).has_image(Context(params={}, runner=runner, check_mode=False), "f00")  # type: ignore[arg-type]
    assert runner.argv == [("podman", "image", "exists", "f00")]


@pytest.mark.parametrize("image_id", ["", "--help", "f00\n", "../a", "A", "f" * 500])
def test_what_is_no_id_is_no_image(image_id: str) -> None:
    runner = Asked()
    assert not Podman(PLACE.paths).has_image(Context(params={}, runner=runner, check_mode=False), image_id)  # type: ignore[arg-type]
    assert runner.argv == []


@pytest.mark.parametrize("name", ["../../etc", "/etc", "a/b"])
def test_a_volume_is_a_name(name: str) -> None:
    assert not Podman(PLACE.paths).has_volume(name)


@pytest.mark.parametrize(
    ("images", "name", "lost"),
    [
        pytest.param([{"id": "ab", "names": ["localhost/w:latest"]}], "localhost/w", False, id="its-own"),
        pytest.param([{"id": "ab"}, {"id": "cd", "names": ["localhost/w:1"]}], "localhost/w:1", False, id="of-another"),
        pytest.param([{"id": "ab"}, {"id": "cd", "names": ["localhost/w:2"]}], "localhost/w:1", True, id="gone"),
        pytest.param([{"id": "ab", "names": None}], "registry.example/w:1", False, id="may-be-pulled"),
        pytest.param([{"id": "cd"}], "localhost/w:1", False, id="another-image"),
        pytest.param([], "localhost/w:1", False, id="no-list"),
    ],
)
def test_an_image_that_has_lost_its_name(tmp_path: Path, images: list[Any], name: str, lost: bool) -> None:
    folder = tmp_path / "var/lib/containers/storage/overlay-images"
    folder.mkdir(parents=True)
    (folder / "images.json").write_text(json.dumps(images))
    paths = Paths(str(tmp_path))
    assert has_lost_name(paths, "ab", name) is lost
    assert Podman(paths, 0).naming_command("ab", name) == (f"podman tag ab {name}" if lost else "")
