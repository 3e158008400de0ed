# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch off each rule of our policy module in turn, in enforcing mode, and write which case then fails.

policy_rules.py [WORD]    only the rules that contain WORD; the page docs/policy-rules.md is written by a whole run only

It takes about an hour on a machine without KVM, so `make test` leaves it out. Each rule stands behind a boolean of its
own, so that one policy serves all; file contexts and transitions cannot, and are left in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".build"))

from ansible_collections.criu.hosts.plugins.module_utils._policy import Rule, parse_rule
from ansible_collections.criu.hosts.plugins.module_utils._policy_rules import (
    CONTAINER,
    CONTAINER_TYPES,
    DYNTRANS,
    NAME,
    RESTORE,
    RULES,
)
from common import BUILD, LAB, RESULTS, ROOT, ToolError, environment, main, say, venv_bin

MACHINE = "rules"
PAGE = ROOT / "docs/policy-rules.md"
CONDITIONAL = ("allow", "dontaudit")
UNIT = ["unit-descriptors-crun", "unit-redis-runc", "unit-threads-runc", "unit-descriptors-runc", "unit-threads-crun"]
SHELL = ["shell-descriptors-crun", "shell-redis-crun", "shell-threads-runc"]


def boolean_of(number: int) -> str:
    """The name of a rule's own boolean."""
    return f"criu_rule_{number:03d}"


def variant() -> str:
    """Our module with each rule that can be conditional behind a boolean of its own."""
    lines = [f"(boolean {RESTORE} false)", f"(boolean {DYNTRANS} false)", f"(typeattribute {CONTAINER})"]
    lines.append(f"(typeattributeset {CONTAINER} ({' '.join(CONTAINER_TYPES)}))")
    for number, rule in enumerate(RULES):
        parsed = parse_rule(rule.text)
        if parsed.kind in CONDITIONAL:
            own = boolean_of(number)
            when = f"(and {rule.boolean} {own})" if rule.boolean else own
            lines += [f"(boolean {own} true)", f"(booleanif {when} (true {parsed.cil()}))"]
        else:
            lines.append(parsed.cil())
    return "\n".join(lines) + "\n"


def cases(rule: Rule) -> list[str]:
    """The cases that may need the rule, the likeliest first."""
    if rule.boolean == DYNTRANS:
        return ["process-unit", "process-shell"] if "initrc_t" in rule.text else ["process-shell", "process-unit"]
    if rule.also == "established_tcp":
        unit, shell = [case for case in UNIT if "redis" in case], [case for case in SHELL if "redis" in case]
    else:
        unit, shell = UNIT, SHELL
    return [*(unit if "podman_units" in rule.purposes else []), *(shell if "root_shell" in rule.purposes else [])]


def ssh(*argv: str) -> str:
    """Run a command on the machine."""
    done = subprocess.run(
        ["ssh", "-F", str(BUILD / "lab/ssh_config"), MACHINE, *argv], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"{argv[0]!r} failed on the machine, see above")
    return done.stdout


def send(path: Path, target: str) -> None:
    """Copy a file to the machine."""
    subprocess.run(["scp", "-q", "-F", str(BUILD / "lab/ssh_config"), str(path), f"{MACHINE}:{target}"], check=True)


def prepare() -> None:
    """Boot a machine, enable it, load the variant."""
    say("A machine, made checkpoint-enabled")
    subprocess.run([sys.executable, str(LAB), "up", MACHINE], check=True)
    artifact = subprocess.run([sys.executable, str(LAB), "artifact"], check=True, stdout=subprocess.PIPE, text=True)
    argv = [f"{venv_bin()}/ansible-playbook", "-i", str(BUILD / "lab/inventory.yml"), "-l", MACHINE]
    argv += ["criu.hosts.enable_host", "-e", f"criu_artifact={artifact.stdout.split()[-1]}"]
    subprocess.run(argv, env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    say("Our policy module with a boolean for each rule")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{NAME}.cil"
        path.write_text(variant(), encoding="utf-8")
        ssh("mkdir", "-p", "/var/lib/selinux/default/criu-hosts.rules")
        send(path, f"/var/lib/selinux/default/criu-hosts.rules/{NAME}.cil")
    ssh("semodule", "-X", "500", "-i", f"/var/lib/selinux/default/criu-hosts.rules/{NAME}.cil")
    send(ROOT / "tests/policy/try_rules.py", "/var/lib/lab/try_rules.py")
    ssh("chcon", "--type", "container_file_t", "/var/lib/lab/workload.tar")
    ssh("podman", "import", "--quiet", "/var/lib/lab/workload.tar", "lab-workload")


def try_all(plan: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Try the rules on the machine, telling each result."""
    path = RESULTS / "policy-rules-plan.json"
    path.write_text(json.dumps(plan), encoding="utf-8")
    send(path, "/var/lib/lab/plan.json")
    ssh("rm", "-f", "/var/lib/lab/rules.jsonl")
    began = time.monotonic()
    worker = ["ssh", "-F", str(BUILD / "lab/ssh_config"), MACHINE, "python3", "/var/lib/lab/try_rules.py"]
    with subprocess.Popen([*worker, "/var/lib/lab/plan.json", "/var/lib/lab/rules.jsonl"]) as process:
        shown = 0
        while process.poll() is None:
            time.sleep(20)
            lines = ssh("sh", "-c", "'cat /var/lib/lab/rules.jsonl 2>/dev/null || true'").splitlines()
            for line in lines[shown:]:
                entry = json.loads(line)
                failed = entry["failed"]
                word = f"{failed['case']}: {failed['why'][:120]}" if failed else "NOTHING FAILS"
                say(f"[{time.monotonic() - began:5.0f} s] {entry['rule']}: {word}")
            shown = len(lines)
    if process.returncode:
        raise ToolError("the trial ended early, see above; with every rule on a case fails")
    return [json.loads(line) for line in ssh("cat", "/var/lib/lab/rules.jsonl").splitlines()]


def render(found: list[dict[str, Any]], where: str) -> str:
    """The page."""
    needless = [entry for entry in found if not entry["failed"]]
    lines = [
        "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->",
        "# Each rule, and what fails without it",
        "",
        f"Written by `make rules` on {time.strftime('%Y-%m-%d')}, in enforcing mode, on {where}.",
        "Each rule was switched off by itself, and containers and processes were dumped and restored until one failed.",
        f"{len(found)} rules were tried; {len(needless)} of them turned out not to be needed by any case.",
        "File contexts, type and range transitions cannot be switched off by a boolean and were not tried.",
        "",
        "| Rule | First case that fails | How |",
        "| --- | --- | --- |",
    ]
    for entry in found:
        failed = entry["failed"] or {"case": "none", "why": ""}
        why = failed["why"].replace("|", "\\|")[:200]
        lines.append(f"| `{entry['rule']}` | {failed['case']} | {f'`{why}`' if why else ''} |")
    return "\n".join(lines) + "\n"


def work() -> int:
    """Try the rules; a rule whose removal breaks nothing is an error."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    plan = [
        {"rule": rule.text, "boolean": boolean_of(number), "cases": cases(rule)}
        for number, rule in enumerate(RULES)
        if parse_rule(rule.text).kind in CONDITIONAL and word in rule.text
    ]
    RESULTS.mkdir(parents=True, exist_ok=True)
    try:
        prepare()
        found = try_all(plan)
        where = ssh("sh", "-c", "'. /etc/os-release; echo $PRETTY_NAME, kernel $(uname -r)'").strip()
    finally:
        subprocess.run([sys.executable, str(LAB), "down", MACHINE], check=False)
    if not word:
        PAGE.write_text(render(found, where), encoding="utf-8")
    needless = [entry["rule"] for entry in found if not entry["failed"]]
    say(f"{len(found)} rules, {len(needless)} of them needed by no case: {', '.join(needless) or 'none'}")
    return int(bool(needless))


if __name__ == "__main__":
    main(work)
