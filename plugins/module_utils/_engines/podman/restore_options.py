# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses options that the installed podman lacks, or would refuse or ignore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import (
    Version,
    parse_version,
    version_text,
    version_tuple,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.ports import check_ports

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options

# The first release with each option. Podman 3.0 has those of pre-checkpoints (--pre-checkpoint, --with-previous and
# --import-previous), but exports no pre-checkpoint before 3.2.1 (RELEASE_NOTES.md, commit 240bbc3bfa).
SINCE: dict[str, Version] = {
    "publish": (3, 3),
    "tcp_close": (5, 7),
    "ignore_static_ip": (1, 5),
    "ignore_static_mac": (1, 5),
    "pre_checkpoint": (3, 2, 1),
    "with_previous": (3, 2, 1),
}
# Podman 4.0 to 4.3 takes these in place, and ignores them there (containers/podman#16666).
SINCE_IN_PLACE: dict[str, Version] = {"ignore_static_ip": (4, 4), "ignore_static_mac": (4, 4)}


def find_missing(wanted: tuple[str, ...], version: Version, *, archive: bool) -> tuple[str, Version] | None:
    """Returns the first option that this podman does not have, and the release that has it; None if there is none.

    The options of an unknown version (empty) are taken for known: podman refuses an option that it does not know.
    """
    since = SINCE if archive else {**SINCE, **SINCE_IN_PLACE}
    for name in wanted:
        if version and version < since[name]:
            return name, since[name]
    return None


def require_options(options: Options, printed: str, what: str, *, archive: bool) -> None:
    """Refuses what this podman does not have, and ports that it would refuse.

    ``printed`` is the output of ``podman --version``.

    Raises:
        CheckpointError: ability_missing, option_invalid.
    """
    try:
        check_ports(options.publish)
    except ValueError as error:
        raise CheckpointError(f"Cannot {what}: {error}.", reason="option_invalid", option="publish") from error
    text = parse_version(printed)
    wanted = tuple(name for name in SINCE if getattr(options, name))
    missing = find_missing(wanted, version_tuple(text), archive=archive)
    if missing is not None:
        name, since = missing
        place = "" if archive else " in place"
        raise CheckpointError(
            f"Cannot {what}: podman {text} does not have {name}{place}, which podman {version_text(since)} and newer "
            f"have. Leave {name} out, or install a newer podman.",
            reason="ability_missing",
        )
