# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Renders the service and the timer of a schedule. Pure."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import value
from ansible_collections.criu.hosts.plugins.module_utils._schedule.layout import HEADER, PROGRAM, PYTHON, SKIPPED

# The service has no sandbox: its mount namespace, seccomp filter or capabilities would be those of CRIU, which then
# could not dump the container, and of a container that the program restores since its dump has failed.
SERVICE_TEXT = f"""\
{HEADER}
[Unit]
Description=Checkpoint of the container %i
Documentation=man:criu(8)
ConditionPathExists=/etc/criu-hosts/schedules/%i.json
RequiresMountsFor=/var/lib/containers

[Service]
Type=oneshot
ExecStart={PYTHON} {PROGRAM} %i
# A checkpoint that a guard has skipped is no failure.
SuccessExitStatus={SKIPPED}
# The process that watches a restored container stays.
KillMode=process
# The program limits the time of each command by the memory of the container.
TimeoutStartSec=infinity
UMask=0077
"""


def render_timer(name: str, calendar: str, random_delay: int) -> str:
    """Returns the timer of the container ``name``. A run that was missed while the host was off is made up for.

    Raises:
        CheckpointError: unit_text_invalid.
    """
    return f"""\
{HEADER}
[Unit]
Description=Scheduled checkpoints of the container {name}

[Timer]
OnCalendar={value(calendar)}
RandomizedDelaySec={random_delay}
Persistent=true

[Install]
WantedBy=timers.target
"""
