# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Packs a folder so that the same files make the same archive."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Rename, Step


def pack_steps(tree: str, archive: str, names: tuple[str, ...], *, compress: str = "") -> tuple[Step, ...]:
    """Plans to pack ``names`` of the folder ``tree``; the same files make the same bytes."""
    partial = f"{archive}.partial"
    same = ("--sort=name", "--format=gnu", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w")
    pipe = (f"--use-compress-program={compress}",) if compress else ()
    return (
        Command(
            ("tar", *same, *pipe, "-C", tree, "-cf", partial, *names),
            why=f"pack {archive!r}",
            creates_partial=partial,
        ),
        Rename(partial, archive, 0o644, why="store the archive"),
    )
