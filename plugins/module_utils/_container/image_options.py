# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the name of an image that holds a checkpoint, and the options beside it."""

from __future__ import annotations

import re
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.option import option_invalid

# As in _store/registry.py: a host, and a repository. Without a host, the engine would look for several names.
_WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?:localhost|(?=[^/]*[.:])[A-Za-z0-9.-]{{1,253}})(?::[0-9]{{1,5}})?(?:/{_WORD})+")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
# Its record has this name, in which each of '/' and ':' takes three bytes.
LENGTH = 200
# The options by which an engine leaves something out of an archive.
_WHOLE = ("ignore_rootfs", "ignore_volumes")


def image_in(params: Mapping[str, Any], option: str) -> str:
    """Returns the full name of the image in an option, with its tag.

    Raises:
        CheckpointError: option_invalid.
    """
    given = params[option]
    name, colon, tag = given.rpartition(":")
    if not colon or "/" in tag:
        name, tag = given, "latest"
    if not _NAME.fullmatch(name) or not _TAG.fullmatch(tag) or len(given) > LENGTH:
        raise option_invalid(
            option,
            given[:LENGTH],
            "it is not the full name of an image",
            "Give a host and a repository, perhaps with a tag, such as 'localhost/checkpoints/web:latest'.",
        )
    if option == "create_image":
        left_out = next((one for one in _WHOLE if params.get(one)), None)
        if left_out is not None:
            why = "an image has all of a container"
            raise option_invalid(left_out, "true", f"{why} (create_image)", "Leave one of the two out.")
    return f"{name}:{tag}"
