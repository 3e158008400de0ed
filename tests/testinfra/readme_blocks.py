# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the quick start from README.md: its files, its commands and the output that it shows for each command.

A comment that Markdown does not show stands before each block: ``<!-- quick start: NAME -->`` before the content of a
file, ``<!-- quick start -->`` before commands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BLOCK = re.compile(r"^<!-- quick start(?:: (\S+))? -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "<!-- quick start"
# A line of the output that means: any other lines
GAP = "..."


@dataclass(frozen=True)
class Command:
    """A command line for a shell, and the lines of output that follow it in the text."""

    line: str
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuickStart:
    """The content of each file by its name, and the commands in their order."""

    files: dict[str, str]
    commands: tuple[Command, ...]


def parse_commands(text: str) -> tuple[Command, ...]:
    """Return the commands of a console block: lines after ``$``, continued after a backslash; the rest is output."""
    found: list[tuple[str, list[str]]] = []
    continued = False
    for line in text.splitlines():
        if continued:
            found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
        elif line.startswith("$ "):
            found.append((line[2:], []))
        elif not found:
            raise ValueError(f"output without a command: {line!r}")
        elif line != GAP:
            found[-1][1].append(line)
        continued = line.endswith("\\") and (continued or line.startswith("$ "))
    return tuple(Command(line, tuple(shown)) for line, shown in found)


def parse_quick_start(text: str) -> QuickStart:
    """Return the quick start of a document; fail if a mark has no block or a file is there twice."""
    files: dict[str, str] = {}
    commands: list[Command] = []
    blocks = BLOCK.findall(text)
    if len(blocks) != text.count(MARK):
        raise ValueError(f"{text.count(MARK)} marks, but {len(blocks)} blocks right after a mark")
    for name, kind, content in blocks:
        if bool(name) is (kind == "console"):
            raise ValueError(f"the block {name or kind!r} has to be either a console block or a file with a name")
        if name in files:
            raise ValueError(f"the file {name} is there twice")
        if name:
            files[name] = content
        else:
            commands += parse_commands(content)
    return QuickStart(files, tuple(commands))


def missing_lines(shown: tuple[str, ...], output: str) -> list[str]:
    """Return the lines that the output does not have, in this order."""
    lines = iter(output.splitlines())
    return [line for line in shown if line not in lines]


def without_header(text: str) -> str:
    """Return an example without the comments at its top and without empty lines, as README.md shows it."""
    lines = [line for line in text.splitlines(keepends=True) if line.strip()]
    while lines and lines[0].startswith(("#", "---")):
        lines.pop(0)
    return "".join(lines)
