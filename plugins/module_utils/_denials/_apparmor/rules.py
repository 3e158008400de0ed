# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Renders denials by AppArmor as the line that a profile would need (apparmor.d(5))."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.kinds import wanted_profile
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import Record

# Others have a meaning in a rule, or need quotes; and a process chooses the names of its files.
_PLAIN = re.compile(r"[A-Za-z0-9_.:+/@=~<>&-]{1,4000}")
_WORD = re.compile(r"[a-z0-9_+-]{1,40}")
# A rule has no letters for creation and deletion: w allows both.
_LETTERS = {"c": "w", "d": "w", "C": "w", "D": "w", "x": "ix"}
_ORDER = "rwamlk"
# The variables for what differs from process to process, the longest path first.
_PROC = (
    (r"\A/proc/[0-9]{1,10}/task/[0-9]{1,10}/", "@{PROC}/@{pid}/task/@{tid}/"),
    (r"\A/proc/[0-9]{1,10}/", "@{PROC}/@{pid}/"),
    (r"\A/proc/", "@{PROC}/"),
)
# What CRIU needs of the profile of a process; docs/apparmor.md has the same lines.
READ_PROC = "@{PROC}/ r,"
READ_CGROUP = "@{PROC}/@{pid}/{,task/@{tid}/}cgroup r,"
CREATE_SOCKET = "unix (create) type=seqpacket,"
USE_SOCKET = 'unix (connect, send, receive) type=seqpacket peer=(addr="@/crtools-pr-*"),'


def is_plain(*values: str) -> bool:
    """Returns whether each value can be in a rule as it is."""
    return all(_PLAIN.fullmatch(value) and "@{" not in value for value in values)


def _words(record: Record) -> str | None:
    return ", ".join(record.permissions) if all(map(_WORD.fullmatch, record.permissions)) else None


def _file(record: Record) -> str | None:
    path = record.fields.get("name", "")
    if not path.startswith("/") or not is_plain(path):
        return None
    letters = {_LETTERS.get(one, one) for one in record.permissions}
    mask = "".join(sorted(letters - {"ix"}, key=_ORDER.find)) + "ix" * ("ix" in letters)
    if not re.fullmatch(r"r?w?a?m?l?k?(?:ix)?", mask) or not mask:
        return None
    for pattern, variables in _PROC:
        path = re.sub(pattern, variables, path)
    return f"{path} {mask},"


def _peer(label: str) -> str | None:
    """Returns the condition on the peer; None if its name cannot be in a rule. "---" is one that is not visible."""
    if label in ("", "---"):
        return ""
    return f" peer={label}" if is_plain(label) else None


def _net(record: Record) -> str | None:
    fields, words = record.fields, _words(record)
    family, kind = fields.get("family", ""), fields.get("sock_type", "")
    if words is None or not _WORD.fullmatch(family) or not _WORD.fullmatch(kind):
        return None
    if family != "unix":
        return f"network {family} {kind},"
    address = fields.get("peer_addr", "none")
    if address == "none":
        return f"unix ({words}) type={kind},"
    return f'unix ({words}) type={kind} peer=(addr="{address}"),' if is_plain(address) else None


def _signal(record: Record) -> str | None:
    words, peer = _words(record), _peer(record.target)
    signal = record.fields.get("signal", "")
    if words is None or peer is None or not _WORD.fullmatch(signal):
        return None
    return f"signal ({words}) set=({signal}){peer},"


def _ptrace(record: Record) -> str | None:
    words, peer = _words(record), _peer(record.target)
    return None if words is None or peer is None else f"ptrace ({words}){peer},"


def _mount(record: Record) -> str | None:
    fields = record.fields
    name, kind, source = (fields.get(key, "") for key in ("name", "fstype", "srcname"))
    options = re.split(r", ?", fields["flags"]) if fields.get("flags") else []
    if record.op not in ("mount", "umount") or not is_plain(name) or not all(map(_WORD.fullmatch, options)):
        return None
    if record.op == "umount":
        return f"umount {name},"
    if not (is_plain(kind) or not kind) or not (is_plain(source) or not source):
        return None
    words = [f"fstype={kind}"] * bool(kind) + [f"options=({', '.join(options)})"] * bool(options)
    return " ".join(["mount", *words, *([source] if source else []), "->", name]) + ","


def _change(record: Record) -> str | None:
    name = wanted_profile(record)
    return f"change_profile -> {name}," if is_plain(name) and record.op != "change_hat" else None


def _capability(record: Record) -> str | None:
    words = _words(record)
    return None if words is None else f"capability {words},"


_BY_CLASS = {
    "cap": _capability,
    "file": _file,
    "mount": _mount,
    "net": _net,
    "ptrace": _ptrace,
    "signal": _signal,
}


def render_rule(record: Record) -> str | None:
    """Returns the line; None if there is none, or if its words are not plain."""
    if wanted_profile(record):
        return _change(record)
    render = _BY_CLASS.get(record.tclass)
    return render(record) if render is not None else None
