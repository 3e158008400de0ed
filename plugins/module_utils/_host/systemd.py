# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the properties of a systemd unit, and writes words and values in the syntax of unit files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

# A name that begins with a hyphen would be an option of systemctl.
SERVICE = r"(?!-)[A-Za-z0-9:_.\\@-]{1,247}\.service\Z"
OTHER_TYPE = r"\.(socket|timer|target|scope|slice|mount|path)\.service\Z"
PLAIN_WORD = r"[A-Za-z0-9@+=:,./_-]+\Z"
# The control characters and line ends of Unicode. Systemd ends a line of a unit file at \n, \r and NUL.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPED = re.compile(r"[\x01-\x1f\x7f]")
# What systemctl prints where systemd is not the first process (sd_booted).
NOT_BOOTED = ("not been booted with systemd", "Failed to connect to bus: Host is down")
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def show(runner: Runner, unit: str, properties: Iterable[str]) -> dict[str, str]:
    """Returns properties of a unit as systemd prints them; for a unit that systemd does not know, the defaults.

    Raises:
        CheckpointError: systemd_missing, tool_failed.
    """
    argv = ("systemctl", "show", f"--property={','.join(properties)}", unit)
    completed = runner.run(argv)
    if completed.rc != 0 and any(sign in completed.err for sign in NOT_BOOTED):
        raise CheckpointError(
            f"Cannot read the state of the unit {unit!r}: systemd does not run on this host. Use a host with systemd.",
            reason="systemd_missing",
        )
    text = check(completed, f"read the state of the unit {unit!r}").out
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)


def main_pid(shown: Mapping[str, str]) -> int:
    """Returns the process id in the property MainPID; 0 if there is none."""
    pid = shown.get("MainPID", "0")
    return int(pid) if re.fullmatch("[0-9]{1,9}", pid) else 0


@dataclass(frozen=True)
class Unit:
    """A systemd service. ``known``: it has a unit file, or systemd keeps one in memory."""

    name: str
    known: bool
    state: str
    pid: int
    cgroup: str

    @property
    def active(self) -> bool:
        return self.state not in ("inactive", "failed")


def unit_name(name: str) -> str:
    """Returns the name of a service with its suffix.

    Raises:
        CheckpointError: unit_invalid.
    """
    full = name if name.endswith(".service") else f"{name}.service"
    if not re.match(SERVICE, full) or re.search(OTHER_TYPE, full):
        raise CheckpointError(
            f"Cannot use the unit {name!r}: it is not the name of a service. Give a name such as 'web.service'.",
            reason="unit_invalid",
        )
    return full


def read_unit(runner: Runner, name: str) -> Unit:
    """Reads a service; one that systemd does not know is inactive."""
    found = show(runner, name, ("LoadState", "ActiveState", "MainPID", "ControlGroup", "FragmentPath"))
    return Unit(
        name,
        known=bool(found.get("FragmentPath")),
        state=found.get("ActiveState", "inactive"),
        pid=main_pid(found),
        cgroup=found.get("ControlGroup", ""),
    )


def has_control(text: str) -> bool:
    """Returns whether there is a control character in a text that has to be one line."""
    return CONTROL.search(text) is not None


def refuse_control(text: str) -> str:
    """Returns ``text`` if it can be part of a line of a unit file.

    Raises:
        CheckpointError: unit_text_invalid.
    """
    if has_control(text):
        raise CheckpointError(
            f"Cannot write {text!r} into a unit of systemd: it has a control character. Leave that out.",
            reason="unit_text_invalid",
        )
    return text


def _in_quotes(argument: str) -> str:
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'


def quote(argument: str) -> str:
    """Returns a word of ExecStart, in quotes.

    Raises:
        CheckpointError: unit_text_invalid, it has a control character.
    """
    return _in_quotes(refuse_control(argument))


def word(text: str) -> str:
    """Returns an argument of a command as a unit file needs it, so that the program receives exactly ``text``.

    Raises:
        CheckpointError: unit_text_invalid, it has a NUL, which no argument can have.
    """
    if re.match(PLAIN_WORD, text):
        return text
    if "\0" in text:
        refuse_control(text)
    return _ESCAPED.sub(lambda found: _NAMED.get(found.group()) or f"\\x{ord(found.group()):02x}", _in_quotes(text))


def value(text: str) -> str:
    """Returns a value that is not a command: only specifiers, which begin with %, are special in it.

    Raises:
        CheckpointError: unit_text_invalid, it has a control character, or ends with a backslash, which would continue
            the line.
    """
    if text.endswith("\\"):
        raise CheckpointError(
            f"Cannot write {text!r} into a unit of systemd: the backslash at its end would continue the line. Leave "
            "that out.",
            reason="unit_text_invalid",
        )
    return refuse_control(text).replace("%", "%%")
