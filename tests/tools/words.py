# SPDX-License-Identifier: GPL-3.0-or-later
"""Find words that this project does not use in its texts, and show a better one for each.

words.py [PATH...]  check these files and folders, or all; NOT_YET does not apply

`make docs` runs the same check, by way of documents.py. Checked are all tracked texts; of a Python file its comments
and strings. Names of code are exempt: a word beside a dot, slash, underscore or parenthesis, a string or an inline
code of a single word.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import Any, Iterable, Iterator

import yaml

from common import ROOT, Entry, main, say, tracked_files

# Files and folders that are not checked yet. Empty it once they are clean.
NOT_YET: tuple[str, ...] = ()

# What to search for, and what to write instead. A space matches a line break as well, with the comment sign or the
# quotes that stand there. (?-i:...) minds the case.
BETTER: tuple[tuple[str, str], ...] = (
    (r"tells?|told|telling", "show, report, return, say, indicate, distinguish"),
    (r"mend(?:s|ed|ing)?", "fix, repair"),
    (r"for one(?=[.,;:)\]\"'])", "for example"),
    (r"(?:speaks?|speaking|spoke) against", "block; a blocker"),
    (r"(?:stands?|stood) against", "block; a blocker"),
    (r"(?:takes?|took|taken|taking)(?: \w+){0,3} along", "include"),
    (r"(?:stands?|stood|standing) in(?: for)?", "replace, act as; be in"),
    (r"anew", "again; recreate"),
    (r"another one|(?:is|are|was|were|gets|has become) another(?=[.,;:)])", "a different ...; differs"),
    (r"another now|now another|(?:is|are|was|were) others(?=[.,;:)])", "differs, has changed"),
    (r"of neither", "not one of"),
    (r"by the clock", "wall-clock time"),
    (r"(?-i:Refuse) to", "Cannot ...: reason. Advice."),
    (r"what (?:speaks|mends)|says? what of it", "name the thing: the fix, the blocker, a list of ..."),
    (r"lend(?:s|ing)?|lent|loans?", "switch on for the restore"),
    (r"gravest", "most severe"),
    (r"whoever", "anyone who; the process that"),
    (r"whatever(?= (?:is|are|fails|ends|lies|comes|else|of|way))", "anything that; all that"),
    (r"nobody(?:'s| asked for| listens| was left| is left| can be asked)|if nobody|nobody(?=\.\")", "no process, none"),
    (r"(?-i:So) (?:it is|is it)", "the same applies"),
    (r"of root(?!'s| shells?\b| squash\b)", "rootful; root's"),
    (r"(?:is|are|be) called so", "has this name"),
    (r"by yourself|each(?: \w+){0,2} by itself", "on its own, alone"),
    (r"(?:goes|going|went|gone) again", "has disappeared"),
    (r"lets? go of|letting go of", "release"),
    (r"RedHat family", "Red Hat family"),
)

# In texts for users only: code has a function of that name, and docstrings that begin so.
BETTER_FOR_USERS: tuple[tuple[str, str], ...] = (
    (r"borrow(?:s|ed|ing)?", "switch on for the restore"),
    (
        r"(?<!#\x20)(?<!\|\x20)(?-i:What) (?:is|are|was|were|has)(?:(?!\n\s*\n)[^.?!|:;])+?"
        r" (?:is|are|was|were|has|stays?)",
        "name the subject: A refused unit is ..., Anything else is ...",
    ),
)

VERBS = (
    "Allow Build Checkpoint Configure Copy Gather Install List Manage Plan Reboot Rebuild Report Restore Run Set Show "
    "Upgrade"
).split()

FOR_USERS_IN = ("playbooks/", "roles/", "examples/", "plugins/modules/", "plugins/doc_fragments/", "plugins/filter/")
RECORDED = ("tests/unit/fixtures/", "tests/policy/tried.jsonl")
OWN = ("tests/tools/words.py", "tests/unit/test_words.py")
SUFFIXES = {"", ".cil", ".conf", ".ini", ".j2", ".md", ".php", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}

GAP = r"(?:[\s#>*\"']+(?:[bfr]{1,2}[\"'])?)"
EXPRESSION = re.compile(r"\{[^{}\n]*\}")
INLINE = re.compile(r"`[^`\s]+`|\b[A-Z]+\(\w+\)")


def compiled(table: Iterable[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    """Return the patterns, bounded so that they match no part of a name."""
    return [
        (re.compile(rf"(?<![\w./$-])(?:{word.replace(' ', GAP)})(?![\w/(=-]|\.\w)", re.IGNORECASE), better)
        for word, better in table
    ]


ALWAYS = compiled(BETTER)
FOR_USERS = compiled(BETTER_FOR_USERS)


def blank(text: str) -> str:
    """Return spaces in place of a text; lines stay."""
    return re.sub(r"[^\n]", " ", text)


def spoken(source: str) -> str:
    """Return Python source with everything but comments and texts blanked."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    kept: list[str] = []
    end = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind not in ("COMMENT", "STRING", "FSTRING_MIDDLE"):
            continue
        begin, stop = (starts[row - 1] + column for row, column in (token.start, token.end))
        text = source[begin:stop]
        if kind == "STRING" and "f" in text.split(text.rstrip()[-1])[0].lower():
            text = EXPRESSION.sub(lambda found: blank(found.group()), text)
        kept += [blank(source[end:begin]), text if kind == "COMMENT" or " " in text else blank(text)]
        end = stop
    return "".join(kept)


def is_for_users(name: str) -> bool:
    """Return whether users read the file."""
    return name.endswith(".md") or name.startswith(FOR_USERS_IN)


def hits(name: str, text: str) -> Iterator[str]:
    """Yield a line for each word in a file that has a better one."""
    text = INLINE.sub(lambda found: blank(found.group()), spoken(text) if name.endswith(".py") else text)
    found = []
    for pattern, better in [*ALWAYS, *(FOR_USERS if is_for_users(name) else ())]:
        found += [(match.start(), re.sub(GAP, " ", match.group()), better) for match in pattern.finditer(text)]
    for start, word, better in sorted(found):
        number = text.count("\n", 0, start) + 1
        yield f"{name}:{number}: {word!r}; better: {better}"


def short_descriptions(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the short descriptions of a plugin or role, each with the name of the described."""
    found: dict[str, Any] = {}
    if name.startswith("plugins/modules/") and name.endswith(".py"):
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
                found = {Path(name).stem: yaml.safe_load(ast.literal_eval(node.value))}
    elif name.startswith("plugins/filter/") and name.endswith(".yml"):
        found = {Path(name).stem: yaml.safe_load(text)["DOCUMENTATION"]}
    elif name.endswith("meta/argument_specs.yml"):
        found = yaml.safe_load(text)["argument_specs"]
    for what, one in found.items():
        yield what, str(one.get("short_description", ""))


def bad_verbs(name: str, text: str) -> Iterator[str]:
    """Yield a line for each short description that does not begin with one of the verbs."""
    for what, line in short_descriptions(name, text):
        if re.split(r"\W", line)[0] not in VERBS:
            yield f"{name}: short_description of {what}: {line!r}; begin with one of {', '.join(VERBS)}"


def checked(name: str) -> bool:
    """Return whether a tracked file is searched at all."""
    path = Path(name)
    return path.suffix in SUFFIXES and path.name != "LICENSE" and not name.startswith((*RECORDED, *OWN))


def problems(paths: Iterable[str] = (), skip: tuple[str, ...] = NOT_YET) -> list[str]:
    """Return what was found in the tracked files below ``paths``, or in all."""
    wanted = tuple(paths)
    found: list[str] = []
    for file in tracked_files():
        name = file.as_posix()
        if not checked(name) or (skip and name.startswith(skip)) or (wanted and not name.startswith(wanted)):
            continue
        text = (ROOT / file).read_text(encoding="utf-8")
        found += [*hits(name, text), *bad_verbs(name, text)]
    return found


def entry() -> Entry:
    """Return the check as one entry of a report."""
    found = problems()
    return Entry("words", int(not found), int(bool(found)), notes=found)


def work() -> int:
    """Print what was found."""
    found = problems(sys.argv[1:], skip=())
    for line in found:
        say(line)
    return int(bool(found))


if __name__ == "__main__":
    main(work)
