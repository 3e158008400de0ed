# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names the files beside a checkpoint, and refuses paths where other users could read or replace the checkpoint."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, MakeDir, Step

# The end that the name of an encrypted archive has, by the program that decrypts it.
SUFFIXES = {"age": ".age", "gpg": ".gpg"}


def kind_of(path: str) -> str:
    """Returns the program that has encrypted an archive, by the end of its name; empty if it is not encrypted."""
    return next((kind for kind, suffix in SUFFIXES.items() if path.endswith(suffix)), "")


def beside(path: str, purpose: str) -> str:
    """Returns the hidden path beside ``path`` for this purpose."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{purpose}")


def partial_path(path: str) -> str:
    """Returns the path of an archive or a folder of images until it is complete."""
    return beside(path, "partial")


def pipe_path(path: str) -> str:
    """Returns the path of the pipe into which the engine writes an archive."""
    return beside(path, "pipe")


def unfinished_record_path(path: str) -> str:
    """Returns the path of the record of an archive that is not complete yet."""
    return beside(path, "record")


@dataclass(frozen=True)
class _Kind:
    """A kind of checkpoint: its name in messages, the reason of a refusal, and whether it is a file or a folder."""

    noun: str
    reason: str
    file: bool

    def refusal(self, path: str, why: str, advice: str) -> CheckpointError:
        return CheckpointError(f"Cannot use the {self.noun} {path!r}: {why}. {advice}", reason=self.reason, path=path)


_ARCHIVE = _Kind("archive", "archive_path_unsafe", file=True)
_IMAGES = _Kind("images folder", "images_path_unsafe", file=False)
_STORE = _Kind("store", "store_unsafe", file=False)
_ADVICE = "Use a folder that belongs to root, with the mode 0700, and whose parents only root can change."


def check_path(path: str) -> None:
    """Refuses a path where others could read memory out of the archive, or replace it.

    Every folder that the path leads through is judged, so that nobody but root can change which file it names: what is
    read, hashed and given to podman by this path is one file, unless root itself changes it.

    Raises:
        CheckpointError: archive_path_unsafe.
    """
    if not os.path.isabs(path) or os.path.basename(path) in ("", ".", ".."):
        raise _ARCHIVE.refusal(path, "it is not the absolute path of a file", "Give an absolute path in archive_path.")
    _check_place(_ARCHIVE, path)


def check_images_path(path: str) -> None:
    """Refuses a path where others could read memory out of the images, or replace them.

    Raises:
        CheckpointError: images_path_unsafe.
    """
    if not os.path.isabs(path) or os.path.normpath(path) != path or os.path.dirname(path) == path:
        raise unsafe(path, "it is not the absolute path of a folder of its own", "Give such a path, without '..'.")
    _check_place(_IMAGES, path)


def check_store_path(path: str) -> None:
    """Refuses a store in which others could read memory, or replace a checkpoint.

    Raises:
        CheckpointError: store_unsafe.
    """
    if not os.path.isabs(path) or os.path.normpath(path) != path or os.path.dirname(path) == path:
        why = "it is not the absolute path of a folder of its own"
        raise _STORE.refusal(path, why, "Give such a path in store, without '..'.")
    _check_place(_STORE, path)


def archive_place_steps(path: str) -> tuple[Step, ...]:
    """Plans the folder of an archive: it is made if it is missing, and judged again as it is then."""
    folder = os.path.dirname(path)
    make = () if os.path.isdir(folder) else (MakeDir(folder, why="make the folder"),)
    return (*make, Check(lambda: check_path(path), why="check the folder of the archive"))


def images_place_steps(path: str) -> tuple[Step, ...]:
    """Plans the folder ``path`` for images: it is made if it is missing, and judged again as it is then."""
    return (
        MakeDir(path, why="make the folder of the images"),
        Check(lambda: check_images_path(path), why="check the folder of the images"),
    )


def unsafe(path: str, why: str, advice: str) -> CheckpointError:
    """Returns the error that refuses an images folder."""
    return _IMAGES.refusal(path, why, advice)


def _check_place(kind: _Kind, path: str) -> None:
    # A task without such a path need not compile these.
    from ansible_collections.criu.hosts.plugins.module_utils._host.ancestors import find_fault, others_write
    from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import has_control

    if has_control(path):
        raise kind.refusal(path, "it has a control character", "Give a path without it.")
    folder = os.path.dirname(path)
    fault = find_fault(folder)
    if fault:
        raise kind.refusal(path, fault, _ADVICE)
    if not os.path.exists(folder):
        return
    above = os.stat(folder)
    if not stat.S_ISDIR(above.st_mode):
        raise kind.refusal(path, f"{folder!r} is not a folder", "Give another path.")
    # Its own files lie beside it under names that do not exist yet: the sticky bit would not keep these.
    if others_write(above):
        raise kind.refusal(path, f"users other than root may write to the folder {folder!r}", _ADVICE)
    try:
        own = os.lstat(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it has a character that no path can have"
        raise kind.refusal(path, str(why), "Give another path.") from error
    if not (stat.S_ISREG(own.st_mode) if kind.file else stat.S_ISDIR(own.st_mode)):
        raise kind.refusal(path, f"it is not a {'regular file' if kind.file else 'folder'}", "Give another path.")
    if others_write(own):
        raise kind.refusal(path, "users other than root may write to it", "Remove it, and make the checkpoint again.")
