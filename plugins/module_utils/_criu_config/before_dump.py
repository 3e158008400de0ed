# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a dump that CRIU, with the configuration that it reads, is certain to refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Callable, Iterable, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.obstacles import (
    Around,
    Obstacle,
    find_obstacles,
    read_sights,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.names import user_config
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import Line

# Options with which CRIU treats mounts of a namespace differently.
MOUNT_OPTIONS = ("external", "ext-mount-map", "enable-fs", "skip-mnt")
# Real files of options are far smaller.
SIZE_LIMIT = 65536
UNITS = {"K": 10, "M": 20, "G": 30}


def parse_size(text: str) -> int | None:
    """Returns a size as CRIU reads it (parse_size in criu/config.c); None if it is none."""
    digits = text[:-1] if text[-1:] in UNITS else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 12:
        return None
    return int(digits) << UNITS.get(text[-1:], 0)


def read_files(paths: Paths, names: Iterable[str]) -> list[Line] | None:
    """Returns the lines of the configuration files that exist; None if one of them cannot be read."""
    # Few processes have a file to which an option applies.
    from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import parse

    lines: list[Line] = []
    for name in names:
        try:
            text = read_text(paths.below(name), limit=SIZE_LIMIT) or ""
        except OSError:
            return None
        lines += parse(text)
    return lines


def configured(around: Around, lines: Sequence[Line] | None) -> Around:
    """Returns what the judgement depends on, with the options of these lines; of two limits the larger one counts.

    If the files are not known, nothing that depends on them is judged.
    """
    if lines is None:
        return replace(around, external_files=True, mounts=False)
    sizes = [parse_size(line.value or "") for line in lines if line.name == "ghost-limit"]
    names = {line.name for line in lines}
    return replace(
        around,
        ghost_limit=max((size for size in sizes if size is not None), default=around.ghost_limit),
        link_remap="link-remap" in names,
        external_files=around.external_files or "external" in names or None in sizes,
        mounts=around.mounts and not names & {*MOUNT_OPTIONS},
        plugins=around.plugins or "libdir" in names,
    )


def obstacles(around: Around, names: Iterable[str]) -> tuple[Obstacle, ...]:
    """Returns what CRIU is certain to refuse, with the options in its configuration files ``names``."""
    sights = read_sights(around)
    # No limit: only if something is found that an option may allow are the files read.
    found = find_obstacles(replace(around, ghost_limit=-1), sights)
    if not found:
        return ()
    return find_obstacles(configured(around, read_files(around.paths, (*names, user_config()))), sights)


def refuse_obstacles(
    around: Around, names: Iterable[str], what: str, why: Callable[[Obstacle], str] = lambda dummy_obstacle: ""
) -> None:
    """Refuses to checkpoint ``what`` if CRIU is certain to do so; ``why`` may add a sentence about the cause.

    Raises:
        CheckpointError: the reason of the first obstacle, with all of them.
    """
    found = obstacles(around, names)
    if not found:
        return
    first = found[0]
    more = f" There are {len(found) - 1} further obstacles, see obstacles." if len(found) > 1 else ""
    raise CheckpointError(
        f"Cannot checkpoint {what}: {first.text}. {why(first)}{first.advice}{more}",
        reason=first.reason,
        obstacles=[one.view() for one in found],
    )
