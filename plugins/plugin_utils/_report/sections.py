# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes what the page shows out of checkpoints: texts, and charts in percent. No HTML."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from ansible_collections.criu.hosts.plugins.plugin_utils._report.chart import (
    Axis,
    memory_parts,
    radius,
    stacked,
    widest,
)
from ansible_collections.criu.hosts.plugins.plugin_utils._report.text import (
    UNKNOWN,
    counted,
    cut,
    duration_text,
    number,
    size_text,
    time_text,
)
from ansible_collections.criu.hosts.plugins.plugin_utils._report.view import (
    UNREADABLE,
    Blocker,
    Checkpoint,
    blockers_of,
)

# The order of the bars, and how the kinds are called.
KINDS = {
    "anonymous": "anonymous",
    "heap": "heap",
    "stack": "stack",
    "file_private": "files, private",
    "file_shared": "files, shared",
    "shared": "shared",
    "kernel": "kernel",
    "other": "other",
}
PHASES = {
    "freezing": "stopping the processes",
    "memory": "reading their memory",
    "writing": "writing it",
    "rest": "all else of the dump",
}
# The tree of a process stays readable, and the page small.
DEEPEST = 12
MOST_PROCESSES = 300
MOST_MESSAGES = 3
LONGEST_COMMAND = 600


def anchor(at: int) -> str:
    return f"checkpoint-{at}"


def size_of(one: Checkpoint, key: str) -> int:
    return number((one.entry.get("checkpoint_size") or {}).get(key))


def disk_size(one: Checkpoint) -> int:
    return number(one.entry.get("size_bytes"))


def frozen_of(one: Checkpoint) -> int:
    """Returns for how many microseconds the dump held the processes up."""
    statistics = one.entry.get("statistics") or {}
    return number(statistics.get("freezing_time")) + number(statistics.get("frozen_time"))


def phases_of(one: Checkpoint) -> list[tuple[str, float]]:
    """Returns the parts of that time. CRIU reads and writes memory while the processes are frozen."""
    statistics = {key: number(value) for key, value in (one.entry.get("statistics") or {}).items()}
    frozen, memory, writing = (statistics.get(key, 0) for key in ("frozen_time", "memdump_time", "memwrite_time"))
    rest = max(frozen - memory - writing, 0)
    return [
        ("freezing", statistics.get("freezing_time", 0)),
        ("memory", min(memory, frozen)),
        ("writing", min(writing, max(frozen - memory, 0))),
        ("rest", rest),
    ]


def state_of(one: Checkpoint) -> tuple[str, str]:
    """Returns what is known about the bytes of a checkpoint, and how good that is."""
    if one.damaged:
        return "damaged", "bad"
    verified = one.entry.get("verified")
    if verified is None:
        return "not verified", "plain"
    return ("verified", "good") if verified else ("changed", "bad")


def timeline(checkpoints: list[Checkpoint]) -> dict[str, Any] | None:
    """Returns the time line: a row for each container. None if no time is known."""
    times = [one.made for one in checkpoints if one.made]
    if not times:
        return None
    axis, largest = Axis(times), widest(map(disk_size, checkpoints))
    rows: list[dict[str, Any]] = []
    for name, group in groupby(enumerate(checkpoints), key=lambda pair: pair[1].container):
        marks = [
            {
                "x": axis.place(one.made),
                "radius": radius(disk_size(one), largest),
                "level": "bad" if state_of(one)[1] == "bad" else "good",
                "anchor": anchor(at),
                "text": f"{time_text(one.made)}, {size_text(disk_size(one))}",
            }
            for at, one in group
            if one.made
        ]
        if marks:
            rows.append({"name": name, "marks": marks, "count": counted(len(marks), "checkpoint")})
    return {"ticks": axis.ticks(), "rows": rows, "untimed": len(checkpoints) - len(times)}


def downtime(checkpoints: list[Checkpoint]) -> list[dict[str, Any]]:
    """Returns the rows of the table of all checkpoints, with the time that each dump took from the processes."""
    longest = widest(frozen_of(one) for one in checkpoints)
    rows = []
    for at, one in enumerate(checkpoints):
        frozen, (state, level) = frozen_of(one), state_of(one)
        parts = phases_of(one)
        told = ", ".join(f"{PHASES[kind]} {duration_text(amount)}" for kind, amount in parts if amount)
        rows.append(
            {
                "anchor": anchor(at),
                "container": one.container,
                "name": one.name,
                "made": time_text(one.made),
                "size": size_text(disk_size(one)) if disk_size(one) else UNKNOWN,
                "memory": size_text(size_of(one, "memory_pages_size")) if not one.damaged else UNKNOWN,
                "bars": stacked(parts, longest),
                "told": told,
                "frozen": duration_text(frozen) if frozen else UNKNOWN,
                "state": state,
                "level": level,
            }
        )
    return rows


def verdicts(hosts: list[str], checkpoints: list[Checkpoint]) -> dict[str, Any] | None:
    """Returns where each checkpoint can be restored, and what hinders the others. None if no host was asked."""
    rows: list[dict[str, Any]] = []
    groups: dict[tuple[str, str], list[tuple[str, Blocker]]] = {}
    for at, one in enumerate(checkpoints):
        found = [blockers_of(one.answers[host]) if host in one.answers else None for host in hosts]
        for host, blockers in zip(hosts, found):
            for blocker in blockers or ():
                groups.setdefault((blocker.reason, blocker.remedy), []).append((host, blocker))
        # Neighbors of one container that have the same answers share a row.
        answers = [blockers and {(each.reason, each.remedy) for each in blockers} for blockers in found]
        if rows and (rows[-1]["container"], rows[-1]["answers"]) == (one.container, answers):
            rows[-1]["names"].append(one.name)
            continue
        cells = [_cell(blockers) for blockers in found]
        rows.append(
            {"anchor": anchor(at), "container": one.container, "names": [one.name], "cells": cells, "answers": answers}
        )
    if all(cell["level"] == "plain" for row in rows for cell in row["cells"]):
        return None
    for row in rows:
        others = len(row["names"]) - 1
        row["name"], row["others"] = row["names"][0], f"and {counted(others, 'older one')}" if others else ""
    return {"rows": rows, "blockers": [_group(*key, found) for key, found in groups.items()]}


def _cell(blockers: list[Blocker] | None) -> dict[str, str]:
    if blockers is None:
        return {"text": "not asked", "level": "plain"}
    if blockers:
        return {"text": counted(len(blockers), "reason"), "level": "bad"}
    return {"text": "restores", "level": "good"}


def _group(reason: str, remedy: str, found: list[tuple[str, Blocker]]) -> dict[str, Any]:
    """Returns what is said about the blockers of several checkpoints or hosts that have the same remedy."""
    messages = list(dict.fromkeys(blocker.message for dummy, blocker in found))
    left_out = len(messages) - MOST_MESSAGES
    return {
        "reason": reason,
        "remedy": remedy,
        "hosts": list(dict.fromkeys(host for host, dummy in found if host)),
        "messages": messages[:MOST_MESSAGES],
        "left_out": counted(left_out, "more like these", "more like these") if left_out > 0 else "",
    }


def memory_of(one: Checkpoint) -> tuple[dict[int | None, dict[str, int]], dict[str, int]]:
    """Returns the saved memory of each process by kind, and that of all by kind."""
    processes: dict[int | None, dict[str, int]] = {}
    total: dict[str, int] = dict.fromkeys(KINDS, 0)
    for part in one.entry.get("memory") or ():
        kind = part["kind"] if part["kind"] in KINDS else "other"
        mine = processes.setdefault(part["pid"], {})
        mine[kind] = mine.get(kind, 0) + number(part["saved_size"])
        total[kind] += number(part["saved_size"])
    return processes, total


def _bar(sizes: dict[str, int], whole: float) -> dict[str, Any]:
    told = ", ".join(f"{KINDS[kind]} {size_text(sizes[kind])}" for kind in KINDS if sizes.get(kind))
    saved = sum(sizes.values())
    return {"bars": stacked(memory_parts(sizes, KINDS), whole), "told": told, "saved": size_text(saved)}


def process_rows(one: Checkpoint) -> list[dict[str, Any]]:
    """Returns a row for each process, after its parent, with its memory."""
    memory, dummy = memory_of(one)
    whole = widest(sum(sizes.values()) for sizes in memory.values())
    rows = []
    for process in (one.entry.get("processes") or ())[:MOST_PROCESSES]:
        command = str(process["command"] or "?")
        line = str(process["cmdline"] or "")
        state = process["task_state"]
        rows.append(
            {
                "pid": process["pid"],
                "depth": min(number(process["depth"]), DEEPEST),
                "command": command,
                "cmdline": cut(line, LONGEST_COMMAND) if line != command else "",
                "state": "" if state in (None, "Alive") else str(state).lower(),
                "threads": counted(len(process["threads"] or ()), "thread"),
                **_bar(memory.get(process["pid"], {}), whole),
            }
        )
    if None in memory:
        shared = {"pid": "", "depth": 0, "command": "shared between processes", "cmdline": "", "state": ""}
        rows.append({**shared, "threads": "", **_bar(memory[None], whole)})
    return rows


def details(at: int, one: Checkpoint) -> dict[str, Any]:
    """Returns what is shown about one checkpoint."""
    entry = one.entry
    dummy, total = memory_of(one)
    processes = entry.get("processes") or ()
    left_out = len(processes) - MOST_PROCESSES
    whole = sum(total.values())
    return {
        "anchor": anchor(at),
        "name": one.name,
        "made": time_text(one.made),
        "path": entry["path"],
        "problem": f"{entry['reason']}: {entry.get('message') or ''}" if one.damaged else "",
        "facts": [] if one.damaged else _facts(one),
        "rows": process_rows(one),
        "left_out": counted(left_out, "more process", "more processes") if left_out > 0 else "",
        "asked": {"processes": entry.get("processes") is not None, "memory": entry.get("memory") is not None},
        "all": {**_bar(total, whole), "whole": whole},
        "legend": [
            {"kind": kind, "name": KINDS[kind], "size": size_text(size)} for kind, size in total.items() if size
        ],
    }


def _facts(one: Checkpoint) -> list[tuple[str, str]]:
    entry = one.entry
    connections, labels = entry.get("tcp_connections"), entry.get("labels") or []
    facts = [
        ("Image", entry.get("image")),
        ("Engine", " with ".join(filter(None, (entry.get("engine"), entry.get("runtime"))))),
    ]
    # Of an encrypted archive, or without details of a store, these are not known.
    if entry.get("process_count") is not None:
        facts += [
            ("Processes", f"{entry['process_count']} with {counted(number(entry.get('thread_count')), 'thread')}"),
            ("TCP connections", None if connections is None else str(len(connections))),
            ("File locks", str(entry.get("lock_count") or 0)),
            ("Changed files", size_text(size_of(one, "root_fs_diff_size"))),
            ("Labels", ", ".join(map(str, labels)) or "none"),
        ]
    facts += [("Address", entry.get("ip")), ("Built on", entry.get("parent"))]
    if entry.get("pre_checkpoint"):
        facts += [("Pre-checkpoint", "memory only, for the checkpoints that are built on it")]
    return [(name, str(value)) for name, value in facts if value]


def containers(checkpoints: list[Checkpoint]) -> list[dict[str, Any]]:
    """Returns the checkpoints with their details, by container."""
    found = []
    for name, group in groupby(enumerate(checkpoints), key=lambda pair: pair[1].container):
        found.append({"name": name, "checkpoints": [details(at, one) for at, one in group]})
    return found


def summary(hosts: list[str], checkpoints: list[Checkpoint]) -> list[dict[str, str]]:
    """Returns the figures at the top of the page."""
    processes = any(one.entry.get("kind") == "process" for one in checkpoints)
    names = counted(len({one.container for one in checkpoints} - {UNREADABLE}), "name" if processes else "container")
    times = [one.made for one in checkpoints if one.made]
    answers = [blockers_of(entry) for one in checkpoints for entry in one.answers.values()]
    asked = [one for one in answers if one is not None]
    failing = sum(1 for one in asked if one)
    longest = max(map(frozen_of, checkpoints), default=0)
    figures = [
        {"name": "Checkpoints", "value": f"{len(checkpoints):,}", "note": f"of {names}"},
        {
            "name": "On disk",
            "value": size_text(sum(map(disk_size, checkpoints))),
            "note": f"on {counted(len(hosts), 'host')}" if any(hosts) else "",
        },
        {"name": "Longest freeze", "value": duration_text(longest) if longest else UNKNOWN, "note": "during a dump"},
        {
            "name": "Newest",
            "value": f"{max(times):%H:%M}" if times else UNKNOWN,
            "note": f"{max(times):%Y-%m-%d} UTC" if times else "no time is recorded",
        },
    ]
    if any(entry.get("restorable") is not None for one in checkpoints for entry in one.answers.values()):
        text = "everything restores" if not failing else f"of {counted(len(asked), 'restore')} would fail"
        figures.append(
            {"name": "Preflight", "value": str(failing), "note": text, "level": "bad" if failing else "good"}
        )
    return figures
