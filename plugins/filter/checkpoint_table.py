# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: shows checkpoints, as checkpoint_info returns them, in a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

HEAD = ("ARCHIVE", "CONTAINER", "IMAGE", "ID", "RUNTIME", "CREATED", "ENGINE", "CHKPT SIZE", "ROOT FS DIFF SIZE")
STORED = ("CHECKPOINT", "KIND", "NAME", "IMAGE", "RUNTIME", "MADE", "SIZE", "SIGNED", "PINNED")
UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
ANSWERS = {True: "yes", False: "NO", None: "-"}
PLAIN = {True: "yes", False: "no", None: "-"}


def size_of(count: int) -> str:
    """Returns a size as checkpointctl shows it."""
    if count < 1024:
        return f"{count} B"
    size, unit = count / 1024, 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {UNITS[unit]}"


def row_of(one: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the line of an archive or a folder of images; a damaged one has only its name."""
    name, sizes = os.path.basename(one["path"]), one["checkpoint_size"]
    texts = (one["container"], one["image"], (one["id"] or "")[:12], one["runtime"], one["created"], one["engine"])
    if one["reason"] or sizes is None:
        return (name, *(text or "-" for text in texts), "-", "-")
    return (name, *(text or "-" for text in texts), size_of(sizes["total_size"]), size_of(sizes["root_fs_diff_size"]))


def stored_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the line of a checkpoint in a store."""
    kind = "pre-checkpoint" if one["pre_checkpoint"] else one["kind"]
    texts = (one["checkpoint"], kind, one["name"], one["image"], one["runtime"], one["made_at"])
    size = "-" if one["size_bytes"] is None else size_of(one["size_bytes"])
    return (*(text or "-" for text in texts), size, PLAIN[one["signed"]], PLAIN[one["pinned"]])


def rows_of(checkpoints: list[Any]) -> list[tuple[str, ...]]:
    """Returns the head and the lines, with the columns of what was asked for."""
    stored = any(one["checkpoint"] for one in checkpoints)
    more = (
        [("VERIFIED", "verified")] if any(one["verified"] is not None or one["sha256"] for one in checkpoints) else []
    )
    more += [("RESTORABLE", "restorable")] if any(one["restorable"] is not None for one in checkpoints) else []
    head = (*(STORED if stored else HEAD), *(title for title, dummy in more))
    lines = [
        (*(stored_row(one) if stored else row_of(one)), *(ANSWERS[one[key]] for dummy, key in more))
        for one in checkpoints
    ]
    return [head, *lines]


def title_of(one: Mapping[str, Any]) -> str:
    """Returns what a checkpoint is called below the table."""
    return str(one["checkpoint"] or os.path.basename(one["path"]))


def reason_lines(one: Mapping[str, Any]) -> list[str]:
    """Returns what keeps a checkpoint from being restored, and what to do about it."""
    found = one["reasons"] or ()
    return ["", f"{title_of(one)} cannot be restored here", *(_reason(each) for each in found)] if found else []


def _reason(one: Mapping[str, Any]) -> str:
    return f"  {one['reason']}: {one['message']} {one['remedy']}".rstrip()


def process_lines(one: Mapping[str, Any]) -> list[str]:
    """Returns the tree of the processes, each with its command line or, without that, its name."""
    lines = []
    for process in one["processes"] or ():
        what = process["cmdline"] or process["command"] or "?"
        lines.append(f"{'  ' * min(process['depth'], 40)}[{process['pid']}]  {what}")
    return lines


def render(checkpoints: list[Any], processes: bool) -> str:
    """Renders the table, what is wrong, what keeps from a restore and, if wanted, the processes."""
    rows = rows_of(checkpoints)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{text:{width}}" for text, width in zip(row, widths)).rstrip() for row in rows]
    wrong = [one for one in checkpoints if one["reason"]]
    lines += ["", *(f"{one['reason']}: {one['message']}" for one in wrong)] if wrong else []
    for one in checkpoints:
        lines += [] if one["reason"] else reason_lines(one)
    for one in checkpoints if processes else ():
        if one["processes"]:
            lines += ["", title_of(one), *process_lines(one)]
    return "\n".join(lines)


def checkpoint_table(value: Any, processes: bool = False) -> str:
    """Returns the table for a result of checkpoint_info."""
    try:
        return render(value, processes)
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(
            f"Cannot render the checkpoints: the value has none ({error!r}). Use the key checkpoints that the module "
            "criu.hosts.checkpoint_info returns."
        ) from error


class FilterModule:
    """Provides the filter of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"checkpoint_table": checkpoint_table}
