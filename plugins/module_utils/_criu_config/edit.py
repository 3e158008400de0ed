# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Changes only those lines of a CRIU configuration file that must change. Pure."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import Line, parse_line, split_lines
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.options import ALL, base_of

# option as the task names it -> its values; None is an option without a value, an empty list means no line at all.
Wanted = dict[str, list[Optional[str]]]


def normalize(options: Mapping[str, Any]) -> Wanted:
    """Returns the options of a task, each with the values of its lines."""
    return {name: _values(name, value) for name, value in options.items()}


def _values(name: str, value: Any) -> list[Optional[str]]:
    if len(name.split()) != 1 or name.split()[0] != name:
        raise _invalid(name)
    if value is None or value is False:
        return []
    if value is True:
        return [None]
    if isinstance(value, (list, tuple)):
        return [item for single in value for item in _values(name, single)]
    if isinstance(value, dict) or "\n" in str(value):
        raise _invalid(name)
    return [str(value)]


def _invalid(name: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot write the option {name!r}: its name must be one word, and its value one line of text, a number or a "
        f"list of these. Correct it.",
        reason="option_invalid",
    )


def render(name: str, value: Optional[str]) -> str:
    """Returns one line in the form that CRIU reads reliably."""
    if value is None:
        return name
    option = ALL.get(name)
    return f"{name}{'=' if option and option.takes == 'optional' else ' '}{value}"


def edit(text: str, wanted: Wanted, *, block: str = "", exclusive: bool = False) -> str:
    """Returns ``text`` with the lines that ``wanted`` asks for.

    A correct line stays unchanged, a wrong one keeps its comment, and missing ones are added at the end.

    Args:
        block: change only the lines between the two marker lines of this name, and remove all other lines there.
        exclusive: remove other options.
    """
    lines = split_lines(text)
    if block:
        start, end = find_block(lines, block)
        inside = [] if start is None else lines[start + 1 : end]
        body = edit_lines(inside, wanted, exclusive=True)
        framed = [begin_mark(block), *body, end_mark(block)] if any(wanted.values()) else []
        lines = [*lines, *framed] if start is None else [*lines[:start], *framed, *lines[end + 1 :]]
    else:
        lines = edit_lines(lines, wanted, exclusive=exclusive)
    return text if lines == split_lines(text) else "".join(f"{line}\n" for line in lines)


def edit_lines(lines: Sequence[str], wanted: Wanted, *, exclusive: bool) -> list[str]:
    """Does the same for a list of lines."""
    names = {base_of(name): name for name in wanted}
    missing = {base: list(wanted[name]) for base, name in names.items()}
    kept = []
    for raw in lines:
        line = parse_line(0, raw)
        base = base_of(line.name)
        if not line.name or (base not in names and not exclusive):
            kept.append(raw)
        elif missing.get(base):
            new = _replace(line, names[base], missing[base])
            kept.extend([] if new is None else [new])
    return [*kept, *(render(names[base], value) for base, values in missing.items() for value in values)]


def _replace(line: Line, name: str, values: list[Optional[str]]) -> Optional[str]:
    """Returns the line for one of ``values``, and removes it from them; None if this line must be removed."""
    if line.name == name and line.value in values and line.flaw is None and line.raw.startswith(_start(line)):
        values.remove(line.value)
        return line.raw
    if len(values) > 1 or (name in ALL and ALL[name].many):
        return None
    tail = line.tail.rstrip() if line.tail.strip().startswith("#") else ""
    return f"{line.indent}{render(name, values.pop())}{tail}"


def _start(line: Line) -> str:
    """Returns how a correct line begins: an optional value must follow an equals sign."""
    option = ALL.get(line.name)
    if line.value is None or option is None or option.takes != "optional":
        return ""
    return f"{line.indent}{line.name}="


def begin_mark(block: str) -> str:
    return f"# BEGIN MANAGED BY {block}"


def end_mark(block: str) -> str:
    return f"# END MANAGED BY {block}"


def find_block(lines: Sequence[str], block: str) -> tuple[Optional[int], int]:
    """Returns the positions of the two marker lines; (None, 0) if there are none.

    Raises:
        CheckpointError: a marker line is missing, or there are too many.
    """
    marks = [number for number, line in enumerate(lines) if line.strip() in (begin_mark(block), end_mark(block))]
    if not marks:
        return None, 0
    if [lines[number].strip() for number in marks] != [begin_mark(block), end_mark(block)]:
        raise CheckpointError(
            f"Cannot find one block between {begin_mark(block)!r} and {end_mark(block)!r}: a marker line is missing or "
            f"there are too many. Repair the marker lines by hand.",
            reason="block_broken",
        )
    return marks[0], marks[1]
