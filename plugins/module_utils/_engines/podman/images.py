# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes, reads and restores images that hold a checkpoint, as ``podman container checkpoint --create-image`` does.

Podman writes an archive to its folder for temporary files, unpacks it into a working container of buildah, and commits
that as an image of one layer (libpod/container_internal_common.go, createCheckpointImage). So the layer has the files
of an archive. A name that is taken moves to the new image. Neither --ignore-rootfs nor --ignore-volumes is allowed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.durations import seconds_of
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Step
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version, version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
from ansible_collections.criu.hosts.plugins.module_utils._engines.images import CheckpointImage
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.annotations import PREFIX, host_in
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import (
    first,
    inner,
    objects,
    whole,
    word,
    words,
    work_dir,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import (
    DUMP_LIMIT,
    DUMPS,
    INVENTORY,
    parse_dump,
    record_in,
    refuse_tied,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.flags import flags, restore_flags
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.reads import run_podman
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.runtimes import read_runtimes
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.storage import LIMIT, LISTS, images_in, roots
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_json
from ansible_collections.criu.hosts.plugins.module_utils._host.names import may_begin_id
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import invalid
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, check_record

SINCE = (4, 1)
# Of podman's annotations; the version of the runtime has several lines.
_NOTES = ("name", "runtime.name", "host.arch", "host.kernel", "podman.version", "cgroups.version")
# How buildah names the container of an image that begins empty.
WORKING = "working-container"
# The first file of an archive, in which podman keeps the content of /dev/shm: memory.
_FIRST = "devshm-checkpoint.tar"
_LAYER = re.compile(r"/overlay/([0-9a-f]{64})/diff\Z")
_ID = re.compile(r"[0-9a-f]{64}")
_ADVICE = "Give an image that container_checkpoint (create_image) or podman (--create-image) has made."


def parse_checkpoint_image(text: str, name: str, root: str) -> CheckpointImage:
    """Returns the first image of ``podman image inspect``. ``root`` is the folder that podman keeps.

    Raises:
        ValueError: it is not what podman prints.
    """
    entry = first(text)
    notes = inner(entry, "Annotations")
    said = {key: word(notes, f"{PREFIX}{key}") for key in _NOTES}
    identity = word(entry, "Id", default=None)
    if not _ID.fullmatch(identity):
        raise ValueError("Id is no id of an image")
    layer = _LAYER.search(word(inner(inner(entry, "GraphDriver"), "Data"), "UpperDir"))
    alone = len(words(inner(entry, "RootFS"), "Layers")) == 1
    return CheckpointImage(
        name=name,
        id=identity,
        names=words(entry, "RepoTags"),
        created_at=word(entry, "Created"),
        size_bytes=whole(entry, "Size"),
        folder=f"{root}/overlay/{layer.group(1)}/diff" if layer is not None and alone else "",
        container=said["name"],
        runtime=said["runtime.name"],
        host=host_in(said),
    )


@dataclass(frozen=True)
class PodmanImages:
    """The images of podman, rootful, whose storage has the driver overlay."""

    paths: Paths

    def require(self, ctx: Context, what: str) -> None:
        text = parse_version(run_podman(ctx.runner, ("podman", "--version")).out)
        version = version_tuple(text)
        # Of an unknown release: podman refuses an option that it does not know.
        if version and version < SINCE:
            raise CheckpointError(
                f"Cannot {what}: podman {text} has no images of checkpoints, which podman 4.1 and newer have. Use an "
                "archive (archive_path), or install a newer podman.",
                reason="ability_missing",
            )

    def named(self, ctx: Context, name: str) -> CheckpointImage | None:
        completed = run_podman(ctx.runner, ("podman", "image", "inspect", name))
        if completed.rc != 0:
            return None
        try:
            return parse_checkpoint_image(completed.out, name, roots(self.paths)[0])
        except ValueError as error:
            raise CheckpointError(
                f"Cannot read the output of 'podman image inspect {name}': {error}. Run the command manually.",
                reason="answer_invalid",
            ) from error

    def describe(self, image: CheckpointImage) -> Record:
        try:
            dumps = self._dumps(image)
            record = record_in(dumps)
            check_record(record)
            if image.runtime and image.runtime not in read_runtimes(self.paths):
                raise ValueError(f"its OCI runtime {image.runtime!r} is none that podman knows")
        except (OSError, ValueError) as error:
            raise invalid(image.name, getattr(error, "strerror", None) or str(error), _ADVICE) from error
        refuse_tied(image.name, dumps["config.dump"])
        return record

    def _dumps(self, image: CheckpointImage) -> dict[str, dict[str, Any]]:
        if not image.container:
            raise ValueError("it has no annotation of a checkpoint")
        if not image.folder:
            raise ValueError("its files are not in one layer of the storage driver overlay")
        found = {}
        for name in DUMPS:
            data = read_below(image.folder, name, limit=DUMP_LIMIT)
            if data is None:
                raise ValueError(f"it has no {name}")
            found[name] = parse_dump(name, data)
        if read_below(image.folder, INVENTORY, limit=DUMP_LIMIT) is None:
            raise ValueError("it has no checkpoint")
        return found

    def spec(self, image: CheckpointImage) -> Any:
        # Few hosts have a trust policy: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.spec import read_folder_spec

        return read_folder_spec(image.folder, self._dumps(image))

    def changed_files(self, container: Container, image: CheckpointImage) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.consistency import changed_in_folder

        layers = [one for one in container.own.get("layers", "").split(":") if one]
        return changed_in_folder(os.path.join(work_dir(container), "checkpoint"), image.folder, layers)

    def make_steps(self, container: Container, options: Options, name: str, folder: str) -> tuple[Step, ...]:
        # The annotation is that of podman's default runtime, and a restore under a different one is refused.
        runtime = ["--runtime", container.runtime] if container.runtime else []
        argv = ["env", f"TMPDIR={folder}", "podman", *runtime, "container", "checkpoint", "--print-stats"]
        argv += [*flags(options, archive=False), *(["--leave-running"] if options.leave_running else [])]
        target = container.id if may_begin_id(container.name) else container.name
        argv += [f"--create-image={name}", target]
        why = f"checkpoint container {container.name!r}"
        return (Command(tuple(argv), why=why, label="checkpoint", finish=True),)

    def import_steps(
        self, image: CheckpointImage, runtime: str, new_name: str | None, options: Options
    ) -> tuple[Step, ...]:
        # Podman compares the annotation with the name of this one, and takes the one of the container for the restore.
        named = runtime if os.path.basename(runtime) == image.runtime else image.runtime
        argv = ["podman", *(["--runtime", named] if named else []), "container", "restore", "--print-stats"]
        argv += [*restore_flags(options, archive=True), *([f"--name={new_name}"] if new_name else [])]
        # By its id: no container has it, and the name may move.
        why = f"restore from the image {image.name!r}"
        return (Command((*argv, image.id), why=why, label="restore", finish=True),)

    def remove_steps(self, name: str, why: str) -> tuple[Step, ...]:
        argv = ("podman", "image", "rm", name)

        def gone() -> bool:
            return not any(name in words(one, "names") for one in images_in(self.paths))

        return (Command(argv, why=why, finish=True, unless=gone),)

    def drop_steps(self, identity: str, why: str) -> tuple[Step, ...]:
        argv = ("podman", "image", "rm", identity)

        def used() -> bool:
            found = [words(one, "names") for one in images_in(self.paths) if one.get("id") == identity]
            return found != [()]

        return (Command(argv, why=why, finish=True, unless=used),)

    def leftover_steps(self, container_id: str, since: float) -> tuple[Step, ...]:
        why = "remove the unfinished image"
        return tuple(
            Command(("podman", "rm", "--force", "--ignore", one), why=why, finish=True)
            for one in self._working(container_id, since)
        )

    def _working(self, container_id: str, since: float) -> Iterator[str]:
        """Yields the working containers that have the checkpoint of this container in them, or the beginning of it."""
        root = roots(self.paths)[0]
        for entry in self._listed(root):
            identity, layer, made = word(entry, "id"), word(entry, "layer"), seconds_of(word(entry, "created"))
            named = any(one.startswith(WORKING) for one in words(entry, "names"))
            if not named or not _ID.fullmatch(identity) or not _ID.fullmatch(layer) or made is None or made < since:
                continue
            folder = f"{root}/overlay/{layer}/diff"
            held = self._id_in(folder)
            if held == container_id or (not held and os.path.lexists(os.path.join(folder, _FIRST))):
                yield identity

    def _listed(self, root: str) -> list[dict[str, Any]]:
        try:
            found = [read_below(root, f"overlay-containers/{name}", limit=LIMIT) for name in LISTS]
            return [entry for data in found if data is not None for entry in objects(parse_json(data), "the list")]
        except (OSError, ValueError):
            return []

    def _id_in(self, folder: str) -> str:
        name = DUMPS[0]
        try:
            return record_in({name: parse_dump(name, read_below(folder, name, limit=DUMP_LIMIT) or b"")}).id
        except (OSError, ValueError):
            return ""
