# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses and checks the text of a CRIU configuration file, without running CRIU.

CRIU turns each line into words of a command line and passes them to getopt_long. People and CRIU read many lines
differently; every line where they may differ is a finding. The fixtures show how CRIU reads each of these lines.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Iterator, Optional, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_text
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.options import (
    ALL,
    CONTRADICTIONS,
    HARM,
    NEWEST,
    RPC_KINDS,
    Option,
    harm_of,
    known,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.values import value_problem

LINE_LIMIT = 4096
# Blanks, name, then nothing, "=..." or blanks and the rest.
SHAPE = re.compile(r"(?P<indent>[ \t]*)(?P<name>[^\s=]+)(?P<rest>.*)", re.DOTALL | re.ASCII)


@dataclass(frozen=True)
class Finding:
    """One problem of a line. ``code`` is a stable word, ``severity`` is error or warning."""

    line: int
    option: str
    code: str
    message: str
    severity: str = "error"

    def view(self) -> dict[str, Any]:
        return {
            "line": self.line,
            "option": self.option or None,
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
        }


@dataclass(frozen=True)
class Line:
    """A line as a person reads it.

    Args:
        name: the option's name as written; empty for a blank line or a comment.
        value: None if there is none.
        form: what separates the name from the value: "", "=" or " ".
        tail: the blanks and the comment after the value.
        flaw: (code, message) of a problem that makes the line ambiguous.
    """

    number: int
    raw: str
    name: str = ""
    value: Optional[str] = None
    form: str = ""
    indent: str = ""
    tail: str = ""
    flaw: Optional[tuple[str, str]] = None


def split_lines(text: str) -> list[str]:
    """Splits ``text`` at newlines and nothing else, as CRIU does with getline."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def parse(text: str) -> list[Line]:
    """Returns the lines of a file."""
    return [parse_line(number, raw) for number, raw in enumerate(split_lines(text), 1)]


def parse_line(number: int, raw: str) -> Line:
    """Parses one line without its newline."""
    stripped = raw.strip(" \t\r\v\f")
    if not stripped or stripped.startswith("#"):
        return Line(number, raw)
    found = SHAPE.match(raw)
    if found is None:  # it begins with "=", or with white space other than blanks and tabs
        return Line(number, raw, name=stripped, flaw=_flaw(raw, "") or ("unknown_option", "it names no option."))
    name, rest, indent = found.group("name"), found.group("rest"), found.group("indent")
    form, value, tail, flaw = _split_value(name, rest)
    return Line(number, raw, name, value, form, indent, tail, flaw or _flaw(raw, name))


def _split_value(name: str, rest: str) -> tuple[str, Optional[str], str, Optional[tuple[str, str]]]:
    """Returns form, value, tail and flaw from the text after the name."""
    form = "=" if rest.startswith("=") else " "
    body = rest[1:] if form == "=" else rest.lstrip(" \t")
    lead = rest[: len(rest) - len(body)]
    if form == " " and (not body or body.startswith("#")):
        return "", None, rest, None
    if form == " " and '\\"' in body:
        return form, body, "", ("quoting", 'CRIU misreads \\" after the name, even in a comment. Remove it.')
    if body.startswith('"') and form == " ":
        return _quoted(name, lead, body)
    if body.startswith("=") or (form == "=" and body[:1] in (" ", "\t")):
        return form, body, "", ("blank_around_equals", f"write {name}=VALUE without blanks around the equals sign.")
    value = re.split(r"[ \t]", body, maxsplit=1)[0]
    tail = body[len(value) :]
    extra = tail.strip(" \t")
    if form == " " and "#" in value:
        return form, value, tail, ("comment_glued", "CRIU cuts the value at the #. Put a blank before a comment.")
    if extra and not extra.startswith("#"):
        return form, value, tail, ("trailing_text", f"{extra!r} follows the value. Put a # before it, or remove it.")
    if value[:1] in "'\"" and value:
        return form, value, tail, ("quoting", "CRIU reads these quotes as part of the value. Remove them.")
    return form, value, tail, None


def _quoted(name: str, lead: str, body: str) -> tuple[str, Optional[str], str, Optional[tuple[str, str]]]:
    """Parses a value in double quotes.

    CRIU 3.11 to 4.3 searches the value for blanks from a position that it has counted in the whole line. Therefore it
    reads beyond the end of a short value, and rejects a blank after that position.
    """
    end = body.find('"', 1)
    if end < 0 or body[end - 1] == "\\":
        return (
            " ",
            body,
            "",
            ("quoting", "CRIU misreads quotes inside quotes, and quotes without an end. Remove them."),
        )
    value, tail = body[1:end], body[end + 1 :]
    extra = tail.strip(" \t")
    searched = len(name) + len(lead) + 2
    if extra and not extra.startswith("#"):
        return " ", value, tail, ("trailing_text", f"{extra!r} follows the value. Put a # before it, or remove it.")
    if "#" in value:
        return " ", value, tail, ("quoting", "CRIU cuts the value at the #, even in quotes. Use a value without it.")
    if value and (" " not in value or " " in value[searched:] or len(value) < searched):
        return " ", value, tail, ("quoting", "CRIU rarely reads a quoted value reliably. Remove the quotes.")
    return " ", value, tail, None


def _flaw(raw: str, name: str) -> Optional[tuple[str, str]]:
    """Returns the problem with the characters of a line; None if there is none."""
    if "\r" in raw:
        return "carriage_return", "it has a Windows line ending; CRIU reads the carriage return as part of the word."
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f\u00a0\ufeff]", raw):
        return "control_character", "it has a control or invisible character, which CRIU reads as part of the word."
    if len(raw) > LINE_LIMIT:
        return "line_too_long", f"it has {len(raw)} characters, more than the {LINE_LIMIT} that are allowed."
    if "\t" in raw.lstrip(" \t").split("#")[0]:
        return "tab", f"CRIU crashes on some lines with a tab. Put one blank after {name}."
    if "#" in name:
        return "comment_glued", "CRIU reads the # as part of the name. Put a blank before a comment."
    return None


def lint(text: str, kind: str, version: Version, allow: tuple[str, ...] = ()) -> list[Finding]:
    """Returns all problems of a file of this ``kind`` for CRIU ``version``. Pure.

    Args:
        allow: risky options to accept in this file.
    """
    if "\0" in text or any("\udc80" <= character <= "\udcff" for character in text):
        return [Finding(1, "", "not_text", "The file is not text: it has zero bytes, or bytes that are not UTF-8.")]
    options = known(version)
    findings: list[Finding] = []
    settings: list[tuple[Line, Option]] = []
    for line in parse(text):
        if not line.name:
            continue
        option = options.get(line.name)
        if line.flaw:
            findings.append(_finding(line, *line.flaw))
        elif option is None:
            findings.append(_unknown(line, options, version))
        else:
            findings.extend(_judge(line, option, kind, version, allow))
            settings.append((line, option))
    return sorted([*findings, *_together(settings)], key=lambda finding: finding.line)


def _finding(line: Line, code: str, message: str, severity: str = "error") -> Finding:
    return Finding(line.number, line.name, code, f"Line {line.number}, {line.name!r}: {message}", severity)


def _unknown(line: Line, options: dict[str, Option], version: Version) -> Finding:
    name = line.name
    plain = name.lstrip("-").lower().replace("_", "-")
    if name in ALL:
        since = version_text(ALL[name].since)
        return _finding(line, "unknown_option", f"it needs CRIU {since}, and this is CRIU {version_text(version)}.")
    if plain in options and name.startswith("-"):
        return _finding(line, "leading_dashes", f"options in a file have no leading dashes. Write {plain}.")
    full = sorted(word for word in options if word.startswith(name))
    if full:
        words = ", ".join(full[:4])
        return _finding(line, "abbreviated", f"it is an abbreviation, which the next CRIU may not know. Write {words}.")
    if version > NEWEST:
        known_to = f"no CRIU up to {version_text(NEWEST)} has this option. Only CRIU itself can check it."
        return _finding(line, "unknown_option", known_to, "warning")
    close = difflib.get_close_matches(plain, options, n=1, cutoff=0.6)
    hint = f"Write {close[0]}." if close else "Comments begin with #." if not name[0].isalnum() else ""
    return _finding(line, "unknown_option", f"CRIU {version_text(version)} has no such option. {hint}".rstrip())


def _judge(line: Line, option: Option, kind: str, version: Version, allow: tuple[str, ...]) -> Iterator[Finding]:
    """Checks the value of a known option, and whether the option may be in this file."""
    name = option.name
    if option.takes == "none" and line.value is not None:
        off = f" To switch it off, remove the line{f' or write no-{name}' if f'no-{name}' in ALL else ''}."
        yield _finding(line, "value_unexpected", f"it takes no value. CRIU switches it on with any value.{off}")
    elif option.takes == "required" and not line.value:
        yield _finding(line, "value_missing", "it needs a value. Without one, CRIU uses the next line as the value.")
    elif option.takes == "optional" and line.form == " ":
        yield _finding(line, "value_ignored", f"CRIU ignores a value after a blank here. Write {name}={line.value}.")
    elif line.value is not None:
        wanted = value_problem(option, line.value, version)
        if wanted:
            yield _finding(line, "value_invalid", f"{line.value!r} is not {wanted}.")
    harm = harm_of(option, kind)
    if harm == "never":
        yield _finding(line, "not_for_files", f"it {HARM[option.base]}. Remove it.")
    elif harm == "risky" and option.base not in allow:
        yield _finding(line, "risky", f"it {HARM[option.base]}. Remove it, or allow it for this file.")
    crash = crashes(option, kind, version)
    if crash:
        yield _finding(line, "crashes_criu", crash)


def crashes(option: Option, kind: str, version: Version) -> Optional[str]:
    """Returns the message about an option that makes this CRIU crash or stop in this file; None if it does not."""
    rpc = kind in RPC_KINDS
    if option.name == "network-lock" and rpc and (3, 16) <= version < (4, 2, 1):
        return f"CRIU {version_text(version)} crashes on it in a file that a runtime names. Put it into default.conf."
    if option.name == "action-script" and (rpc or kind == "default") and version < (3, 19):
        return f"CRIU {version_text(version)} fails on it if a runtime calls CRIU. Use CRIU 3.19 or newer."
    return None


def _together(settings: list[tuple[Line, Option]]) -> Iterator[Finding]:
    """Yields duplicates and contradictions."""
    seen: dict[str, tuple[Line, Option]] = {}
    for line, option in settings:
        key = f"{option.base} {line.value}" if option.many else option.base
        first = seen.setdefault(key, (line, option))
        if first[0] is line:
            continue
        if first[1].name == option.name:
            yield _finding(line, "duplicate", f"line {first[0].number} sets it too. Remove one of them.")
        else:
            contrary = f"line {first[0].number} says {first[1].name}. Remove one of them."
            yield _finding(line, "contradictory", contrary)
    for left, right in CONTRADICTIONS:
        if left in seen and right in seen and seen[left][1].name == left and seen[right][1].name == right:
            line = max(seen[left][0], seen[right][0], key=lambda candidate: candidate.number)
            other = left if line.name == right else right
            contrary = f"line {seen[other][0].number} says {other}, and CRIU can only do one of them."
            yield _finding(line, "contradictory", contrary)


def summary(findings: Sequence[Finding]) -> str:
    """Returns the first error and the number of further ones, in one line; empty if there are only warnings."""
    errors = [finding for finding in findings if finding.severity == "error"]
    more = Counter(finding.code for finding in errors[1:])
    rest = f" And {len(errors) - 1} more: {', '.join(sorted(more))}." if more else ""
    return f"{errors[0].message}{rest}" if errors else ""
