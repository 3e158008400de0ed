# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman import rootless
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, put_host

# The owner of her files: only root can give them to another user.
ALICE = os.getuid() or 1000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host where alice has the container web, and root runs the task."""
    storage = tmp_path / "alice/.local/share/containers/storage/overlay-containers"
    storage.mkdir(parents=True)
    (storage / "containers.json").write_text(json.dumps([{"id": "91f0", "names": ["web"], "image": "5"}]))
    (storage / "volatile-containers.json").write_text(json.dumps([{"id": "7777", "names": ["brief"]}]))
    for path in storage.iterdir():
        os.chown(path, ALICE, -1)
    users = [
        pwd.struct_passwd(("root", "x", 0, 0, "", str(tmp_path / "alice"), "/bin/sh")),
        pwd.struct_passwd(("bob", "x", 1001, 1001, "", str(tmp_path / "bob"), "/bin/sh")),
        pwd.struct_passwd(("alice", "x", ALICE, 1000, "", str(tmp_path / "alice"), "/bin/sh")),
    ]
    monkeypatch.setattr(rootless.pwd, "getpwall", lambda: users)
    put_host(tmp_path, 0)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/uid_map").write_text("         0          0 4294967295\n")
    return storage


def refused(act: Any, *arguments: Any) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        act(*arguments)
    assert caught.value.reason == "rootless_unsupported"
    for way in ("become: true", "criu_non_root", "process_checkpoint", "unprivileged_container"):
        assert way in caught.value.message
    return caught.value


def test_root_is_let_through() -> None:
    rootless.require_root("checkpoint container 'web'", PLACE.paths, 0)


def test_a_user_is_told_what_works() -> None:
    assert "user id 1000" in refused(rootless.require_root, "checkpoint container 'web'", PLACE.paths, 1000).message


def test_root_of_a_user_namespace(tmp_path: Path) -> None:
    (tmp_path / "proc/self/uid_map").write_text("0 1000 1\n1 100000 65536\n")
    assert "user namespace" in refused(rootless.require_root, "restore container 'web'", PLACE.paths, 0).message


@pytest.mark.parametrize("name", ["web", "91f0", "brief"])
def test_container_of_a_user(name: str) -> None:
    error = refused(rootless.refuse_users_container, name, f"checkpoint container {name!r}")
    assert "'alice'" in error.message


def test_container_of_nobody() -> None:
    rootless.refuse_users_container("db", "checkpoint container 'db'")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "{}", "[1]", "5", '"web"', '[{"names": ["web"]}]', '[{"id": 5, "names": ["web"]}]'),
        *('[{"id": "1", "names": "web"}]', '[{"id": "1", "names": {"web": 1}}]', '[{"id": "1", "names": [["web"]]}]'),
        *("[" * 100_000, '[{"id": "1", "names": ["web"], "flags": 5}]', "NaN", "\0"),
    ],
)
def test_unreadable_list(home: Path, text: str) -> None:
    (home / "containers.json").write_text(text)
    rootless.refuse_users_container("web", "checkpoint container 'web'")


def _pipe(path: Path) -> None:
    os.mkfifo(path)
    os.chown(path, ALICE, -1)


def _sparse(path: Path) -> None:
    with path.open("wb") as handle:
        handle.truncate(1 << 40)
    os.chown(path, ALICE, -1)


def _other(path: Path) -> None:
    path.write_text('[{"id": "1", "names": ["web"]}]')
    os.chown(path, ALICE + 1 if os.getuid() == 0 else -1, -1)


@pytest.mark.parametrize("make", [_pipe, _sparse, _other, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_a_user_puts_in_place_of_the_list(home: Path, make: Callable[[Path], None]) -> None:
    """It neither holds up the task nor fills memory, and no file of another user is read through it."""
    for name in ("containers.json", "volatile-containers.json"):
        (home / name).unlink()
        make(home / name)
    rootless.refuse_users_container("web", "checkpoint container 'web'")


def test_a_link_on_the_way_to_the_list(home: Path, tmp_path: Path) -> None:
    home.rename(tmp_path / "elsewhere")
    home.symlink_to(tmp_path / "elsewhere")
    rootless.refuse_users_container("web", "checkpoint container 'web'")
