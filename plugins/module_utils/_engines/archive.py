# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Packs and unpacks the archives of engines that have none of their own.

They have the layout of podman's archives, so that checkpointctl and checkpoint_info read them: config.dump names the
container, spec.dump is its OCI configuration, and checkpoint/ has CRIU's images (containers/podman,
libpod/container_internal_common.go; checkpointctl, lib/metadata.go).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Step, Unpack

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options

CONFIG = "config.dump"
SPEC = "spec.dump"
IMAGES = "checkpoint"
_COMPRESS = {"none": (), "gzip": ("--gzip",), "zstd": ("--zstd",)}


def pack_step(folder: str, export: str, options: Options, names: tuple[str, ...]) -> Command:
    """Plans to pack ``names`` of ``folder`` into ``export``, which is an empty file, or a pipe that is read."""
    argv = ("tar", "--create", *_COMPRESS[options.compression], "--numeric-owner", f"--file={export}")
    return Command((*argv, f"--directory={folder}", *names), why=f"pack {folder!r}", label="export", finish=True)


def unpack_steps(archive: str, folder: str) -> tuple[Step, ...]:
    """Plans to unpack an archive into the new folder ``folder``: what would leave it is refused."""
    return (Unpack(archive, folder, why="unpack the archive"),)
