# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses images of a process that the trust policy of the host does not accept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._formats.capabilities import capability_names
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import CoreThread, ImageError, read_core
from ansible_collections.criu.hosts.plugins.module_utils._process.stored import digests
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    check_parents,
    parents_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec, label_names
from ansible_collections.criu.hosts.plugins.module_utils._store.trust import OF_PROCESSES
from ansible_collections.criu.hosts.plugins.module_utils._store.trust_check import require_trust

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def require_trusted(ctx: Context, images: Images) -> None:
    """Refuses images that the policy does not accept, with every reason, and those that they are based on.

    Raises:
        CheckpointError: trust_refused, trust_policy_invalid, tool_missing, timed_out, and those of ``check_parents``.
    """
    check_parents(images)
    what = f"restore {images.text} from {images.path!r}"
    require_trust(ctx, what, images.path, lambda: digests(images.path), lambda: read_spec(images), kinds=OF_PROCESSES)
    for path in map(os.path.realpath, parents_of(images)):
        # Only memory is in them: the labels and capabilities are those of the last images.
        # mypy cannot infer the type of a lambda with a default, which binds the path of this round.
        require_trust(ctx, what, path, lambda path=path: digests(path), Spec, kinds=())  # type: ignore[misc]


def read_spec(images: Images) -> Spec:
    """Returns the labels of all threads, and the capabilities that they have or may take.

    Raises:
        ValueError: an image is missing or damaged.
        OSError: one cannot be read.
    """
    threads = tuple(_threads(images))
    able = 0
    for one in threads:
        able |= one.capabilities
    return Spec(labels=label_names(one.label for one in threads), capabilities=tuple(capability_names(able)))


def _threads(images: Images) -> Iterator[CoreThread]:
    for task in images.tasks:
        for tid in task.threads:
            try:
                yield read_core(images.path, tid)
            except ImageError as error:
                raise ValueError(f"its core-{tid}.img is missing or damaged ({error})") from error
