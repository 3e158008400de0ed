# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Decodes file capabilities: the extended attribute security.capability."""

from __future__ import annotations

import struct
from typing import Any

# In the order of their bits, as in linux/capability.h.
CAPABILITIES = tuple(
    """
    chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
    sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
    mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore
    """.split()
)
VFS_CAP_EFFECTIVE = 0x000001
VFS_CAP_WORDS = {0x01000000: 1, 0x02000000: 2, 0x03000000: 2}


def parse_capabilities(data: bytes) -> dict[str, Any] | None:
    """Returns the content of the extended attribute security.capability; None if its layout is unknown."""
    if len(data) < 4:
        return None
    magic = struct.unpack_from("<I", data)[0]
    words = VFS_CAP_WORDS.get(magic & 0xFF000000)
    if words is None or len(data) < 4 + 8 * words:
        return None
    permitted = inheritable = 0
    for number in range(words):
        low, high = struct.unpack_from("<II", data, 4 + 8 * number)
        permitted |= low << (32 * number)
        inheritable |= high << (32 * number)
    return {
        "effective": bool(magic & VFS_CAP_EFFECTIVE),
        "permitted": _capability_names(permitted),
        "inheritable": _capability_names(inheritable),
    }


def _capability_names(bits: int) -> list[str]:
    names = [f"cap_{name}" for number, name in enumerate(CAPABILITIES) if bits >> number & 1]
    return names + [f"cap_{number}" for number in range(len(CAPABILITIES), 64) if bits >> number & 1]
