# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the tables in the README files and in docs equal to the code; check lengths, links and words of the documents.

documents.py          check; shows what differs
documents.py --write  rewrite the tables
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
import textwrap
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable

import yaml

import words
from common import BUILD, NAME, NAMESPACE, ROOT, Entry, Report, main

LIMITS = {"README.md": 150, "CONTRIBUTING.md": 90, "SECURITY.md": 60, "docs/design.md": 125, "docs/threat-model.md": 80}
ROLE_LIMIT = 60
MARKUP = re.compile(r"\b[A-Z]+\(([^()]*)\)")


def plain(text: Any) -> str:
    """Return a description as one line of Markdown: its first sentence, markup as code."""
    line = " ".join(str(text[0] if isinstance(text, list) else text).split())
    line = MARKUP.sub(r"`\1`", line).replace("|", "\\|")
    return re.split(r"(?<=[a-z`)])\. ", line)[0].rstrip(".")


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(' --- ' for dummy in head)}|"]
    return lines + [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows]


def documentation(module: Path) -> dict[str, Any]:
    """Return DOCUMENTATION of a module, without importing it."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            loaded: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))
            return loaded
    return {}


def module_table() -> list[str]:
    """Return the table of the modules."""
    rows = []
    for path in sorted((ROOT / "plugins/modules").glob("*.py")):
        rows.append([f"`{NAMESPACE}.{NAME}.{path.stem}`", plain(documentation(path).get("short_description", ""))])
    return table(["Module", "What it does"], rows)


def entries(role: Path) -> dict[str, dict[str, Any]]:
    """Return the argument specifications of a role's entry points."""
    loaded = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = loaded["argument_specs"]
    return found


def specs(role: Path) -> dict[str, Any]:
    """Return the argument specification of a role's main entry."""
    return entries(role)["main"]


def defaults(role: Path) -> dict[str, Any]:
    """Return what defaults/main.yml sets."""
    file = role / "defaults/main.yml"
    found: dict[str, Any] = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.exists() else {}
    return found


def roles() -> list[Path]:
    """Return the folders of the roles."""
    return sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))


def role_table() -> list[str]:
    """Return the table of the roles."""
    rows = [
        [f"[`{NAMESPACE}.{NAME}.{role.name}`](../roles/{role.name}/README.md)", plain(specs(role)["short_description"])]
        for role in roles()
    ]
    return table(["Role", "What it does"], rows)


def shown(value: Any) -> str:
    """Return a default as a table shows it."""
    if value is None or value == "":
        return ""
    return f"`{yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix('...' + chr(10)).strip()}`"


def variable_table(role: Path) -> list[str]:
    """Return the table of a role's variables."""
    rows = []
    for name, option in specs(role)["options"].items():
        kind = option.get("type", "str") + (f" of {option['elements']}" if "elements" in option else "")
        default = "required" if option.get("required") else shown(option.get("default"))
        rows.append([f"`{name}`", kind, default, plain(option["description"])])
    return table(["Variable", "Type", "Default", "What it does"], rows)


def defaults_differ(role: Path) -> list[str]:
    """Return what defaults/main.yml and the argument specification say differently."""
    set_there = defaults(role)
    options = dict(specs(role)["options"])
    for entry in entries(role).values():
        # Another entry's option may have no default of its own.
        options.update({name: one for name, one in entry.get("options", {}).items() if name in set_there})
    found = [
        f"{name} is in defaults/main.yml and not in argument_specs.yml" for name in set_there if name not in options
    ]
    for name, option in options.items():
        if name in set_there and "{{" not in str(set_there[name]) and option.get("default") != set_there[name]:
            found.append(f"{name}: default {option.get('default')!r} here, {set_there[name]!r} in defaults/main.yml")
        if "default" in option and name not in set_there:
            found.append(f"{name} has a default that defaults/main.yml does not set")
    order = [name for name in options if name in set_there]
    if order != [name for name in set_there if name in options]:
        found.append("the order of defaults/main.yml is not that of argument_specs.yml")
    return found


def plugin(place: str) -> Any:
    """Return a file of plugins/module_utils, imported."""
    if str(BUILD) not in sys.path:
        sys.path.insert(0, str(BUILD))
    return importlib.import_module(f"ansible_collections.{NAMESPACE}.{NAME}.plugins.module_utils.{place}")


def cell(text: str) -> str:
    """Return a text of the code for a table: its placeholders as words."""
    named = {"{name}": "NAME", "{path}": "NAME", "{outside}": "NAME", "{number}": "N", "{words}": "...", "{end}": ""}
    for place, word in named.items():
        text = text.replace(place, word)
    return text.replace("\\b", "").replace("{kind}", "container or process").replace("|", "\\|")


def criu_table() -> list[str]:
    """Return the table of CRIU's errors whose cause is known."""
    errors = plugin("_criu.known_errors")
    rows = []
    for known in (*errors.KNOWN_ERRORS, *errors.LAST_RESORTS):
        cause, signs = known.cause, "<br>".join(f"`{cell(sign)}`" for sign in known.signs)
        where = [" and ".join(known.kinds), " and ".join(known.actions)]
        rows.append([f"`{cause.reason}`", *where, cell(cause.why), signs, cell(cause.advice)])
    rows.sort(key=lambda row: (row[2] == "restore", row[0], row[1]))
    return table(["Reason", "Of", "At", "Cause", "What CRIU says", "Way out"], rows)


def obstacle_table() -> list[str]:
    """Return the table of what is seen in /proc before a dump."""
    rows = [[f"`{one.reason}`", one.sign, one.advice] for one in plugin("_criu.obstacles").OBSTACLES]
    return table(["Seen before a dump", "Sign in `/proc/PID`", "Way out"], sorted(rows))


def engine_table() -> list[str]:
    """Return the table of podman's errors whose cause is known."""
    causes = plugin("_engines.podman.causes").CAUSES
    rows = [[f"`{one.cause.reason}`", cell(one.cause.why), f"`` {one.sign} ``", one.cause.advice] for one in causes]
    return table(["Podman's reason", "Cause", "What Podman says", "Way out"], sorted(rows))


SHOWN_LSMS = {
    "selinux": "SELinux",
    "apparmor": "AppArmor",
    "none": "none",
    "both": "SELinux and AppArmor",
    "other": "another",
}


def host_table() -> list[str]:
    """Return the table of the supported, experimental and refused hosts."""
    rows = []
    for row in plugin("_host.support").TABLE:
        lsms = ", ".join(SHOWN_LSMS[lsm] for lsm in row.lsms) or "any"
        why = f"{row.why[0].upper()}{row.why[1:]}. {row.advice}".strip()
        rows.append([*row.shown, lsms, row.level, why])
    return table(["Distribution", "Release", "Security module", "Level", "Why"], rows)


def host_lines() -> list[str]:
    """Return the item of the README that lists the hosts of each level."""
    rows = [row for row in plugin("_host.support").TABLE if not set(row.lsms) & {"both", "other"}]
    levels_of: dict[str, set[str]] = {}
    for row in rows:
        for name in sorted({row.shown[0], " ".join(row.shown)}):
            levels_of.setdefault(name, set()).add(row.level)
    hosts: dict[str, list[str]] = {}
    for row in rows:
        distribution, whole = row.shown[0], " ".join(row.shown)
        name = whole if len(levels_of[distribution]) > 1 else distribution
        if row.lsms and len(levels_of[whole]) > 1:
            name += f" with {' or '.join(SHOWN_LSMS[lsm] for lsm in row.lsms)}"
        if name not in hosts.setdefault(row.level, []):
            hosts[row.level].append(name)
    levels = "; ".join(f"{level}: {', '.join(hosts[level])}" for level in ("supported", "experimental", "refused"))
    where = "([why](docs/readiness.md#which-hosts)), only x86_64"
    text = f"- Hosts {where}. {levels[0].upper()}{levels[1:]}."
    return textwrap.wrap(text, 120, subsequent_indent="  ", break_on_hyphens=False)


@dataclass
class Document:
    """A Markdown file, its tables by the head of their first column, and its generated items by their first words."""

    path: Path
    limit: int
    tables: dict[str, Callable[[], list[str]]] = field(default_factory=dict)
    items: dict[str, Callable[[], list[str]]] = field(default_factory=dict)

    def tabulated(self, lines: list[str], problems: list[str]) -> list[str]:
        """Return the lines with every table and item as the code has them."""
        parts = [(f"| {head} ", "|", make) for head, make in self.tables.items()]
        parts += [(f"- {words}", "  ", make) for words, make in self.items.items()]
        for begins, goes_on, make in parts:
            start = next((number for number, line in enumerate(lines) if line.startswith(begins)), None)
            if start is None:
                problems.append(f"no table or item that begins with {begins}")
                continue
            end = start + 1
            while end < len(lines) and lines[end].startswith(goes_on):
                end += 1
            lines = lines[:start] + make() + lines[end:]
        return lines

    def check(self, write: bool) -> list[str]:
        """Return what is wrong; tables are rewritten if ``write``."""
        if not self.path.exists():
            return ["is missing"]
        problems: list[str] = []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        right = self.tabulated(lines, problems)
        if write and right != lines:
            self.path.write_text("\n".join(right) + "\n", encoding="utf-8")
        elif right != lines:
            problems += [f"not in the table as the code has it: {line}" for line in right if line not in lines][:8]
            problems.append("run `make tables`")
        if len(right) > self.limit:
            problems.append(f"{len(right)} lines, at most {self.limit}")
        return problems + self.dead_links(right)

    def dead_links(self, lines: list[str]) -> list[str]:
        """Return the links to files that are not there."""
        targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", "\n".join(lines))
        return [f"link to {target}: not there" for target in targets if not (self.path.parent / target).exists()]


def work() -> int:
    """Check every document."""
    write = "--write" in sys.argv[1:]
    report = Report("documents")
    found = [Document(ROOT / name, limit) for name, limit in LIMITS.items()]
    found[0].items = {"Hosts": host_lines}
    for role in roles():
        found.append(Document(role / "README.md", ROLE_LIMIT, {"Variable": partial(variable_table, role)}))
        problems = defaults_differ(role)
        report.add(Entry(f"roles/{role.name}/defaults", int(not problems), int(bool(problems)), notes=problems))
    others = set((ROOT / "docs").glob("**/*.md")) - {document.path for document in found}
    made = {
        "cannot-checkpoint.md": {
            "Seen before a dump": obstacle_table,
            "Reason": criu_table,
            "Podman's reason": engine_table,
        },
        "reference.md": {"Module": module_table, "Role": role_table},
        "readiness.md": {"Distribution": host_table},
    }
    found += [Document(path, 10_000, made.get(path.name, {})) for path in sorted(others)]
    for document in found:
        problems = document.check(write)
        name = str(document.path.relative_to(ROOT))
        report.add(Entry(name, int(not problems), int(bool(problems)), notes=problems))
    report.add(words.entry())
    return report.finish()


if __name__ == "__main__":
    main(work)
