# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses the restore of a process whose AppArmor profile is not loaded. Only its owner knows where that is defined."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError, read_core
from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.loaded import (
    find_missing,
    missing_error,
    single_profiles,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images, invalid


def recorded_profiles(images: Images) -> tuple[str, ...]:
    """Returns the profiles that CRIU will give to the threads; CRIU's images have no modes."""
    if images.inventory.lsm != "apparmor":
        return ()
    names = []
    for task in images.tasks:
        for tid in task.threads:
            try:
                names.append(read_core(images.path, tid).label)
            except (ImageError, OSError) as error:
                raise invalid(images.path, f"its core-{tid}.img is missing or damaged ({error})") from error
    return single_profiles(names)


def refuse_missing_profiles(paths: Paths, images: Images) -> None:
    """Refuses a restore whose AppArmor profiles are not loaded; goes on where that cannot be seen, as without root.

    Raises:
        CheckpointError: apparmor_profile_missing.
    """
    missing = find_missing(paths, recorded_profiles(images))
    if missing:
        raise missing_error(f"restore {images.text}", missing[0])
