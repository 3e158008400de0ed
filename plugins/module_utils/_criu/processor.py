# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lets CRIU compare the processor of a dump with the one of this host.

CRIU writes cpuinfo.img only if its option cpu-cap has the word image; then a restore compares, too, and fails.
"""

from __future__ import annotations

import os

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import first_error


def require_processor(runner: Runner, criu: str, images: str, what: str) -> None:
    """Refuses a restore for which this processor lacks something; without cpuinfo.img, nothing is known.

    Raises:
        CheckpointError: cpu_mismatch.
    """
    if not os.path.isfile(os.path.join(images, "cpuinfo.img")):
        return
    completed = runner.run((criu, "cpuinfo", "check", "--no-default-config", "--images-dir", images))
    if completed.rc != 0:
        said = first_error(f"{completed.err}\n{completed.out}".splitlines()) or completed.last_line
        raise CheckpointError(
            f"Cannot {what}: 'criu cpuinfo check' says that this processor is not enough ({said}). Restore it on a "
            "host whose processor has what the old one had.",
            reason="cpu_mismatch",
        )
