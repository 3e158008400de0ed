# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Decides whether an image may run on the volumes of a Nextcloud: its entry point upgrades them unasked. Pure."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_text
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import Image, Refusal


def _check_version(present: Version, offered: Version, name: str) -> Refusal | None:
    """Returns a blocker unless the image only brings another release of the same major version, or the same one."""
    if offered[0] != present[0]:
        return Refusal(
            "major_changed",
            f"{name} holds Nextcloud {version_text(offered)}, and the volumes belong to Nextcloud "
            f"{version_text(present)}. Upgrade with the playbook criu.hosts.upgrade_nextcloud.",
        )
    if offered < present[: len(offered)]:
        return Refusal(
            "downgrade",
            f"{name} holds Nextcloud {version_text(offered)}, and the volumes belong to the newer "
            f"{version_text(present)}, with which it does not start. Give a newer image.",
        )
    return None


def check_run(
    present: Version | None, image: Image, running_id: str | None, declared: Version | None
) -> Refusal | None:
    """Returns a blocker if ``image`` must not run on volumes with the version ``present`` (None: they are new).

    ``running_id`` is the image of the container that exists: if it is the same, nothing would change. ``declared`` is
    the version that the operator gives for an image that does not name its own.
    """
    name = f"the image {image.name!r}"
    if image.id is None:
        return Refusal("image_missing", f"{name} is not on the host. Pull it, or let the role pull it.")
    if image.version is not None and declared is not None and image.version[: len(declared)] != declared:
        return Refusal(
            "image_wrong",
            f"{name} holds Nextcloud {version_text(image.version)}, and {version_text(declared)} was given as its "
            "version. Give none.",
        )
    offered = image.version or declared
    if present is None or (offered is None and image.id == running_id):
        return None
    if offered is None:
        return Refusal(
            "image_version_unknown",
            f"{name} does not name its version (no NEXTCLOUD_VERSION in its environment), so it could upgrade "
            f"Nextcloud {version_text(present)} unasked. Give its version "
            "(nextcloud_image_version), or an official image.",
        )
    return _check_version(present, offered, name)


def check_registry(name: str, why: str, present: Version | None) -> Refusal | None:
    """Returns a blocker if the version that a pull would bring is not known, and volumes could be upgraded by it."""
    if present is None:
        return None
    return Refusal(
        "registry_unknown",
        f"which version the image {name!r} holds is not known, as {why}. A real run pulls the image, and refuses it "
        f"before a container is made of it unless it holds Nextcloud {present[0]}.",
    )
