# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans the restore of a Docker container from an archive: Docker makes it again, it gets its files, and is restored.

Docker has no command for that. docker system dial-stdio carries a request of HTTP to the daemon, as docker itself does
over ssh (docker/cli, cli/command/system/dial_stdio.go); so the container is made with exactly the options that it had,
and with a new id. Where its files have to go is known only then: links lead the commands there.
"""

from __future__ import annotations

import os
import re
import stat
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Check,
    Command,
    Link,
    MakeDir,
    Remove,
    Rename,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import unpack_steps
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker import places
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.answers import image_id_of
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.archive import (
    DESCRIPTION,
    IMAGES,
    ROOTFS,
    VOLUMES,
    packed_in,
    request_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.export import WHOLE
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.steps import (
    attempt_step,
    log_of,
    start_step,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, word
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.names import is_id
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import invalid

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options

# CRIU's image of the control groups.
CGROUPS = "cgroup.img"
_LIMIT = 1 << 20
_MADE = re.compile(r"HTTP/1\.[01] 201 ")


def staging(paths: Paths, name: str) -> str:
    """Returns the folder of an import: on the file system of Docker's own files, so that renames are enough."""
    return f"{places.root(paths)}/criu-hosts/{name}"


def require_import(paths: Paths, what: str) -> None:
    """Refuses a restore from an archive on a host whose Docker gives the files of containers to other users.

    Raises:
        CheckpointError: ability_missing.
    """
    if places.settings(paths).get("userns-remap"):
        raise CheckpointError(
            f"Cannot {what}: Docker changes the users of its containers (userns-remap in {places.CONFIG}), and the "
            "files of an archive have those of the container. Restore it on a host without that.",
            reason="ability_missing",
        )


def import_steps(paths: Paths, archive: str, identity: str, name: str, options: Options) -> tuple[Step, ...]:
    """Plans the restore of ``archive``, a file or a pipe, as container ``name``; ``identity`` is the id in it."""
    top = staging(paths, name)
    parts, box, layer = f"{top}/archive", f"{top}/container", f"{top}/layer"
    images = f"{box}/checkpoints/{places.CHECKPOINT}"
    look = partial(_check, paths, parts, archive, options)
    made = partial(_request, paths, parts, name, options)
    files = not options.ignore_rootfs
    volumes = not options.ignore_volumes
    start = start_step(name, name, places.log_finder(paths, name), log_of(box))
    return (
        Remove(top, why="remove"),
        MakeDir(top, why="make the folder"),
        *unpack_steps(archive, parts),
        Check(look, why=f"look into the archive of container {name!r}"),
        Command(
            ("docker", "system", "dial-stdio"),
            why=f"make container {name!r}",
            stdin=made,
            succeeded=was_made,
            finish=True,
        ),
        Link(box, lambda: f"{places.root(paths)}/containers/{places.demand(paths, name)}", why="make the link"),
        Link(layer, lambda: places.upper_of(paths, places.demand(paths, name)), why="make the link"),
        MakeDir(f"{box}/checkpoints", why="make the folder"),
        Rename(f"{parts}/{IMAGES}", images, why="put the checkpoint in place at"),
        *((_fill(f"{parts}/{ROOTFS}", layer, name),) if files else ()),
        *(_volumes(paths, top, archive, name) if volumes else ()),
        WriteFile(f"{images}/{CGROUPS}", partial(_cgroups, paths, images, identity, name), why="put the new id into"),
        attempt_step(images),
        start,
        Remove(images, why="remove the used checkpoint"),
        Remove(top, why="remove", always=True),
    )


def import_files(paths: Paths, name: str) -> tuple[str, ...]:
    """Returns what an import uses: the images, by a link to the container's own folder, and then the link, too."""
    top = staging(paths, name)
    return (f"{top}/container/checkpoints/{places.CHECKPOINT}", top)


def _volumes(paths: Paths, top: str, archive: str, name: str) -> tuple[Step, ...]:
    """Plans to put back the files of volumes: those in the list, and nothing else that their tar has."""
    parts, wanted = f"{top}/archive", f"{top}/volumes"
    lines = partial(_lines, parts, archive)
    listed = (f"--files-from={wanted}",)
    return (
        WriteFile(wanted, lines, why="write"),
        _fill(f"{parts}/{VOLUMES}", f"{places.root(paths)}/volumes", name, listed),
    )


def _lines(parts: str, archive: str) -> str:
    return "".join(f"{one}/_data\n" for one in _packed(parts, archive))


def _fill(archive: str, folder: str, name: str, only: tuple[str, ...] = ()) -> Command:
    flags = ("--same-owner", "--preserve-permissions", *WHOLE)
    return Command(
        ("tar", "--extract", *flags, f"--file={archive}", f"--directory={folder}", *only),
        why=f"put back the files of container {name!r}",
        finish=True,
        unless=lambda: not os.path.lexists(archive),
    )


def was_made(completed: Completed) -> bool:
    """Returns whether the daemon has made the container: the exit status says only that it has answered."""
    return _MADE.match(completed.out) is not None


def _description(parts: str, archive: str) -> dict[str, object]:
    try:
        return parse_object(read_below(parts, DESCRIPTION, limit=_LIMIT))
    except (OSError, ValueError) as error:
        raise invalid(archive, f"its {DESCRIPTION} cannot be read ({error})") from error


def _check(paths: Paths, parts: str, archive: str, options: Options) -> None:
    """Refuses an archive with anything that ours do not have: only files and a folder of files, and no other volumes.

    Raises:
        CheckpointError: archive_invalid, volume_exists.
    """
    for folder in (parts, f"{parts}/{IMAGES}"):
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise invalid(archive, f"its {IMAGES} is no folder")
        for entry in os.scandir(folder):
            folded = folder == parts and entry.name == IMAGES
            if not folded and not entry.is_file(follow_symlinks=False):
                raise invalid(archive, f"it has {entry.name[:100]!r}, which is no file")
    taken = [one for one in _packed(parts, archive) if os.path.lexists(f"{places.root(paths)}/volumes/{one}")]
    if taken and not options.ignore_volumes:
        raise CheckpointError(
            f"Cannot restore from {archive!r}: its volume {taken[0]!r} is on this host already. Remove the volume, or "
            "set ignore_volumes to use it as it is.",
            reason="volume_exists",
        )


def _cgroups(paths: Paths, images: str, old: str, name: str) -> bytes:
    """Returns CRIU's image of the control groups with the new id of the container in place of its old one.

    runc 1.1.15 leaves the processes in the group that is named in the image, and Docker looks for them in the one of
    the new id: docker pause, top, stats and update would fail. Both ids have the same length.
    """
    data = read_below(images, CGROUPS, limit=_LIMIT)
    if data is None or not is_id(old):
        return data or b""
    return data.replace(old.encode(), places.demand(paths, name).encode())


def _packed(parts: str, archive: str) -> tuple[str, ...]:
    """Returns the volumes whose files are in the archive."""
    try:
        return packed_in(_description(parts, archive))
    except ValueError as error:
        raise invalid(archive, f"its volumes cannot be read ({error})") from error


def _request(paths: Paths, parts: str, name: str, options: Options) -> str:
    """Returns the request that makes the container; with the image itself where its name leads to a different one."""
    kept = _description(parts, name)
    try:
        identity, image = image_id_of(word(kept, "Image")), word(inner(kept, "Config"), "Image")
        same = places.image_named(paths, image) == identity
        return request_of(kept, name, image if same else f"sha256:{identity}", options)
    except ValueError as error:
        raise invalid(name, f"its {DESCRIPTION} is not what docker prints ({error})") from error
