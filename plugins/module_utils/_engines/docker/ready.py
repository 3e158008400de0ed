# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a daemon of Docker that cannot checkpoint as it is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker import places
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.causes import EXPERIMENTAL
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import word
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths


def require_ready(paths: Paths, text: str, what: str) -> None:
    """Refuses ``what`` by the answer of ``docker info``.

    Raises:
        CheckpointError: ability_missing, engine_elsewhere, answer_invalid.
    """
    try:
        info = parse_object(text)
        folder = paths.below(word(info, "DockerRootDir"))
    except ValueError as error:
        raise CheckpointError(
            f"Cannot read the answer of 'docker info': {error}. Run the command manually.", reason="answer_invalid"
        ) from error
    if info.get("ExperimentalBuild") is not True:
        raise CheckpointError(f"Cannot {what}: {EXPERIMENTAL.why}. {EXPERIMENTAL.advice}", reason=EXPERIMENTAL.reason)
    if folder != places.root(paths) and not folder.startswith(f"{places.root(paths)}/"):
        raise CheckpointError(
            f"Cannot {what}: Docker keeps its files in {folder!r}, and by {places.CONFIG} it would be "
            f"{places.root(paths)!r}. Set data-root there, not on the command line of dockerd.",
            reason="engine_elsewhere",
            path=folder,
        )
