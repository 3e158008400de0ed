# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Describes the processes of a checkpoint out of the tables of CRIU's images, in the words of checkpointctl and crit.

All texts were chosen by others: what no terminal should get is escaped, as ``\\x1b``.
"""

from __future__ import annotations

from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_memory import (
    KINDS,
    PAGE,
    command_line,
    environment_names,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_resources import KINDS as LOCKS
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_tables import (
    ENTRIES,
    FILE_KINDS,
    INTERNET,
    UNIX,
    OpenFile,
    Process,
    Tables,
    kind_name,
)

# Longer texts are cut: no name is that long, and a command line seldom.
LENGTH = 4096
# compel/include/uapi/task-state.h
TASK_STATES = {1: "Alive", 2: "Dead", 3: "Stopped", 6: "Zombie"}
# include/net/tcp_states.h, in the words of crit.
STATES = (
    *("", "ESTABLISHED", "SYN_SENT", "SYN_RECEIVED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT"),
    *("LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV"),
)
# TIME_WAIT and the two ends of a connection's life are none.
_CONNECTED = {
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECEIVED",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "CLOSE_WAIT",
    "LAST_ACK",
    "CLOSING",
}
TYPES = {1: "STREAM", 2: "DGRAM", 3: "RAW", 4: "RDM", 5: "SEQPACKET", 10: "PACKET"}
PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 58: "ICMPV6", 136: "UDPLITE", 255: "RAW"}
STATISTICS = {
    "freezing_time": "freezing_microseconds",
    "frozen_time": "frozen_microseconds",
    "memdump_time": "memory_dump_microseconds",
    "memwrite_time": "memory_write_microseconds",
    "pages_scanned": "scanned_pages",
    "pages_skipped": "skipped_pages",
    "pages_written": "written_pages",
}


def escaped(text: str) -> str:
    """Returns a text of other origin in one line, without what would control a terminal, and not too long."""
    kept = text if len(text) <= LENGTH else f"{text[:LENGTH]}..."
    if kept.isprintable():
        return kept
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in kept)


def in_tree_order(processes: list[Process]) -> Iterator[tuple[Process, int]]:
    """Yields each process after its parent, siblings by their ids, with its depth.

    Processes that do not descend from one without a parent, as no CRIU writes them, are last.
    """
    children: dict[int, list[Process]] = {}
    known = {one.pid for one in processes}
    for one in processes:
        children.setdefault(one.parent if one.parent in known else 0, []).append(one)
    seen: set[int] = set()
    waiting = [(one, 0) for one in sorted(children.get(0, ()), key=lambda one: -one.pid)]
    while waiting:
        one, depth = waiting.pop()
        if one.pid in seen:
            continue
        seen.add(one.pid)
        yield one, depth
        waiting += [(child, depth + 1) for child in sorted(children.get(one.pid, ()), key=lambda child: -child.pid)]
    yield from ((one, 0) for one in processes if one.pid not in seen)


def describe(tables: Tables) -> dict[str, Any]:
    """Returns what the images hold, under stable keys; None for what was not asked for, or is not in the images.

    Raises:
        ValueError: they hold more than is returned.
    """
    wanted = tables.wanted
    processes = list(in_tree_order(tables.processes))
    sockets = list(_sockets(tables)) if "sockets" in wanted else None
    connected = [one for one in sockets or () if one["protocol"] == "TCP" and one["state"] in _CONNECTED]
    return {
        "lsm": tables.lsm,
        "labels": sorted({escaped(core.label) for core in tables.cores.values() if core.label}),
        "process_count": len(tables.processes),
        "thread_count": sum(len(one.threads) or 1 for one in tables.processes),
        "lock_count": len(tables.locks),
        "processes": [_process(tables, *one) for one in processes] if wanted & {"processes", "environment"} else None,
        "open_files": list(_open_files(tables)) if "files" in wanted else None,
        "locks": list(_locks(tables)) if "files" in wanted else None,
        "sockets": sockets,
        "tcp_connections": connected if sockets is not None else None,
        "memory": list(_memory(tables)) if "memory" in wanted else None,
        "statistics": _statistics(tables),
    }


def _process(tables: Tables, process: Process, depth: int) -> dict[str, Any]:
    core, memory = tables.cores.get(process.pid), tables.memory.get(process.pid)
    line = command_line(memory) if memory is not None else None
    names = environment_names(memory) if memory is not None and "environment" in tables.wanted else None
    return {
        "pid": process.pid,
        "parent": process.parent,
        "depth": depth,
        "command": escaped(core.comm) if core is not None else None,
        "cmdline": None if line is None else escaped(line),
        "task_state": TASK_STATES.get(core.state) if core is not None else None,
        "threads": [_thread(tables, tid) for tid in process.threads or (process.pid,)],
        "environment_variables": None if names is None else [escaped(name) for name in names],
    }


def _thread(tables: Tables, tid: int) -> dict[str, Any]:
    core = tables.cores.get(tid)
    return {
        "tid": tid,
        "command": None if core is None else escaped(core.comm),
        "label": None if core is None or not core.label else escaped(core.label),
    }


def _described(tables: Tables) -> Iterator[tuple[int, int, int, OpenFile | None]]:
    """Yields each descriptor: the process, the number, the kind, and what it is open on.

    Raises:
        ValueError: there are too many, as many processes may share one table of descriptors.
    """
    room = ENTRIES
    for process in tables.processes:
        for number, kind, identity in tables.open.get(tables.file_ids.get(process.pid, -1), ()):
            room -= 1
            if room < 0:
                raise ValueError(f"its processes have more than {ENTRIES} open files")
            yield process.pid, number, kind, tables.files.get(identity)


def _open_files(tables: Tables) -> Iterator[dict[str, Any]]:
    for pid, number, kind, file in _described(tables):
        path = file.name if file is not None else "unknown"
        yield {"pid": pid, "fd": str(number), "type": kind_name(kind), "path": escaped(path)}
    for process in tables.processes:
        for name, identity in zip(("cwd", "root"), tables.folders.get(process.pid, ())):
            file = tables.files.get(identity)
            path = escaped(file.name) if file is not None else "unknown"
            yield {"pid": process.pid, "fd": name, "type": "", "path": path}


def _word(words: tuple[str, ...], index: int) -> str:
    return words[index] if index < len(words) else ""


def _sockets(tables: Tables) -> Iterator[dict[str, Any]]:
    for pid, number, kind, file in _described(tables):
        if file is None or file.socket is None:
            continue
        found = file.socket
        yield {
            "pid": pid,
            "fd": number,
            "kind": _word(FILE_KINDS, kind),
            "protocol": PROTOCOLS.get(found.get("protocol", 0), "") if kind == INTERNET else "",
            "type": TYPES.get(found.get("type", 0), ""),
            "state": _word(STATES, found.get("state", 0)) if kind in (INTERNET, UNIX) else "",
            "address": escaped(found.get("address", "")),
            "src": found.get("src", ""),
            "src_port": found.get("src_port", 0),
            "dst": found.get("dst", ""),
            "dst_port": found.get("dst_port", 0),
            "send_buf": found["send_buf"],
            "recv_buf": found["recv_buf"],
        }


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _locks(tables: Tables) -> Iterator[dict[str, Any]]:
    held = {(table, number): identity for table, found in tables.open.items() for number, dummy, identity in found}
    for flag, mode, pid, fd, start, length in tables.locks:
        file = tables.files.get(held.get((tables.file_ids.get(pid, -1), fd), -1))
        yield {
            "pid": pid,
            "fd": fd,
            "kind": LOCKS.get(flag, "LEASE"),
            "mode": "write" if mode == 1 else "read",
            "path": None if file is None else escaped(file.name),
            "start": _signed(start),
            "length": _signed(length),
        }


def _memory(tables: Tables) -> Iterator[dict[str, Any]]:
    """Yields the memory of each process by kind, and the memory that processes share with the pid None."""
    for pid, memory in tables.memory.items():
        sizes = [0] * len(KINDS)
        for at in range(0, len(memory.areas), 3):
            sizes[memory.areas[at + 2]] += memory.areas[at + 1] - memory.areas[at]
        for index, size in enumerate(sizes):
            if size:
                saved = None if memory.saved is None else memory.saved[index]
                yield {"pid": pid, "kind": KINDS[index], "virtual_size": size, "saved_size": saved}
    if tables.shared_pages:
        yield {"pid": None, "kind": "shared", "virtual_size": None, "saved_size": tables.shared_pages * PAGE}


def _statistics(tables: Tables) -> dict[str, int] | None:
    found = tables.statistics
    if found is None or "frozen_microseconds" not in found:
        return None
    return {word: found[name] for word, name in STATISTICS.items()}
