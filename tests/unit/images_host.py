# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host whose podman also makes and restores images of checkpoints, as 5.4.2 does."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.criu.hosts.tests.unit.containers import recorded
from ansible_collections.criu.hosts.tests.unit.podman_host import PodmanHost, podman_host

IMAGE = "localhost/checkpoints/web:latest"
NOTE = "io.podman.annotations.checkpoint."
STORAGE = "var/lib/containers/storage"


@dataclass
class ImagesHost(PodmanHost):
    """``commits`` holds the ids of the images that were made. With "commit" in ``fails``, podman makes none.

    ``files`` are put into the layer of each.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    version: str = "5.4.2"
    commits: list[str] = field(default_factory=list)

    @property
    def images_file(self) -> Path:
        return self.world.folder / STORAGE / "overlay-images/images.json"

    @property
    def images(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.images_file.read_text())
        return found

    def named(self, name: str) -> dict[str, Any] | None:
        return next((one for one in self.images if name in (one["id"], *(one["names"] or ()))), None)

    def layer(self, image: dict[str, Any]) -> Path:
        return self.world.folder / STORAGE / f"overlay/{image['layer']}/diff"

    def run_command(self, dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        if args == ["podman", "--version"]:
            self.ran.append(args)
            return 0, f"podman version {self.version}\n", ""
        if args[:3] == ["podman", "image", "inspect"]:
            self.ran.append(args)
            return self._inspect_image(args[-1])
        if args[0] == "env" or args[:3] == ["podman", "image", "rm"] or self._is_image(args):
            self.ran.append(args)
            self.wrote.append(args)
            if args[0] == "env":
                return self._make(args[2:], Path(args[1].partition("=")[2]))
            return self._import(args) if self._is_image(args) else self._untag(args[-1])
        return super().run_command(dummy_module, args, **options)

    def _is_image(self, args: list[str]) -> bool:
        return "restore" in args and self.named(args[-1]) is not None

    def _inspect_image(self, name: str) -> tuple[int, str, str]:
        found = self.named(name)
        if found is None:
            return 125, "", recorded("image-inspect-no-such.txt")
        entry = json.loads(recorded("image-inspect-checkpoint.json"))
        first = entry[0]
        first.update(Id=found["id"], RepoTags=found["names"], Created=found["created"])
        first["GraphDriver"]["Data"]["UpperDir"] = f"/{STORAGE}/overlay/{found['layer']}/diff"
        first["Annotations"].update(found["notes"])
        if not found["notes"]:
            first["Annotations"] = None
        return 0, json.dumps(entry), ""

    def _make(self, args: list[str], temporary: Path) -> tuple[int, str, str]:
        assert temporary.is_dir() and not list(temporary.iterdir())
        name = next(one.partition("=")[2] for one in args if one.startswith("--create-image="))
        box = self.find(args[-1])
        assert box is not None and not box.auto_remove, "podman refuses containers of --rm"
        done = self._checkpoint([one for one in args if not one.startswith("--create-image=")], box)
        if done[0] == 0 and "commit" in self.fails:
            box.checkpointed = False
            (temporary / "checkpoint_image_1").mkdir()
            return 125, "", "Error: writing blob: no space left on device\n"
        if done[0] == 0:
            self.add_image(name, box.id, box.name, args[args.index("--runtime") + 1])
        return done

    def add_image(self, name: str, container: str, box_name: str, runtime: str = "runc") -> dict[str, Any]:
        """Puts an image of a checkpoint into the storage; one that has the name loses it."""
        identity = hashlib.sha256(f"{name} {self.tick()}".encode()).hexdigest()
        created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 1)) + ".123456789Z"
        # The machine of the tests may be any.
        notes = {
            f"{NOTE}name": box_name,
            f"{NOTE}runtime.name": runtime,
            f"{NOTE}host.arch": "",
            f"{NOTE}host.kernel": "",
        }
        found = {"id": identity, "names": [name], "layer": identity, "created": created, "notes": notes}
        listed = [
            {**one, "names": [other for other in one["names"] or () if other != name] or None} for one in self.images
        ]
        self.images_file.write_text(json.dumps([*listed, found]))
        folder = self.layer(found)
        (folder / "checkpoint").mkdir(parents=True)
        config = {**json.loads(recorded("config.dump.json")), "id": container, "name": box_name, "namedVolumes": None}
        (folder / "config.dump").write_text(json.dumps(config))
        (folder / "spec.dump").write_text("{}")
        (folder / "checkpoint/inventory.img").write_bytes(b"i")
        for file, data in self.files.items():
            (folder / file).write_bytes(data)
        self.commits.append(identity)
        return found

    def _untag(self, name: str) -> tuple[int, str, str]:
        found = self.named(name)
        assert found is not None, "nothing removes an image that is gone"
        self.images_file.write_text(json.dumps([one for one in self.images if one["id"] != found["id"]]))
        return 0, f"Deleted: {found['id']}\n", ""

    def drop_container(self, name: str) -> None:
        """Removes the container, as podman rm does."""
        self.drop(self.boxes[name])


def images_host(folder: Path) -> ImagesHost:
    """Makes the host, in enforcing mode, without a container."""
    plain = podman_host(folder)
    host = ImagesHost(**{key: getattr(plain, key) for key in ("replies", "tools", "made")})
    assert host.made is not None
    host.made.host = host
    rows = [{**one, "layer": "0" * 64, "created": "2026-11-01T00:00:00Z", "notes": {}} for one in host.images]
    host.images_file.write_text(json.dumps(rows))
    (folder / "sys/fs/cgroup").mkdir(parents=True)
    (folder / "sys/fs/cgroup/cgroup.controllers").write_text("cpu\n")
    os.makedirs(folder / STORAGE / "overlay-containers", exist_ok=True)
    return host
