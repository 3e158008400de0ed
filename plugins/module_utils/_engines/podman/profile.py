# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes podman load the AppArmor profile that it makes itself.

Podman has the text of its profile inside, and loads it when it prepares a container for its first start (generateSpec,
which calls CheckProfileAndLoadDefault of containers/common, pkg/apparmor), but not before a restore
(containers/podman#12437). It does so for every name with its prefix, so that a container that an older podman has made
starts after an upgrade, too: it then has the new text under the old name. A restore gets the same, by a container that
is prepared and never started.
"""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Step

# The prefix and a version. The name may come from an archive, and podman puts it into the text of the profile.
OWN = r"containers-default-[0-9A-Za-z][0-9A-Za-z.+~_-]{0,63}\Z"
# The OCI runtime looks for the program, but never runs it. Each host has this one, an image need not have any.
PROGRAM = "/usr/bin/true"
INSIDE = "/criu-hosts-true"


def is_own(profile: str) -> bool:
    """Returns whether podman makes the profile itself."""
    return re.match(OWN, profile) is not None


def profile_steps(name: str, image_id: str, runtime: str, profile: str) -> tuple[Step, ...]:
    """Plans to prepare a container from an image that is there, and to remove it. ``name`` is the one to restore.

    It has no network, no volume, no log. It is ours by its name, so one that a task left that was killed is replaced.
    What counts is the profile, not the container: whether it is loaded then is for the caller to see.
    """
    if not image_id or not is_own(profile):
        return ()
    ours = f"criu-hosts-profile-{name}"
    create = (
        "podman",
        *(("--runtime", runtime) if runtime else ()),
        "create",
        "--replace",
        f"--name={ours}",
        "--pull=never",
        "--network=none",
        "--user=0:0",
        "--image-volume=ignore",
        "--no-healthcheck",
        "--log-driver=none",
        f"--security-opt=apparmor={profile}",
        f"--volume={PROGRAM}:{INSIDE}:ro",
        f"--entrypoint={INSIDE}",
        image_id,
    )
    remove = ("podman", "rm", "--force", "--ignore", "--time=0", ours)
    what = f"make podman load the AppArmor profile {profile!r}"
    return (
        Command(create, why=what),
        Command(("podman", "init", ours), why=what),
        Command(remove, why=f"remove the container {ours!r}", always=True),
    )
