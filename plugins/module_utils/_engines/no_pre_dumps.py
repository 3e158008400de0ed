# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The part of an engine that has no pre-checkpoints: without the ability ``pre_dump``, nothing asks about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container


class NoPreDumps:
    """What the protocol of engines asks of pre-checkpoints."""

    def pre_dump_dir(self, container: Container) -> str:
        raise NotImplementedError

    def pre_dump_stamp(self, container: Container) -> str:
        raise NotImplementedError

    def check_previous(self, archive: str) -> None:
        raise ValueError("its engine has no pre-checkpoints")
