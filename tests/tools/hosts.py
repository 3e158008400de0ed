# SPDX-License-Identifier: GPL-3.0-or-later
"""See enable_host on the kinds of hosts that `make test` does not cover: Debian 12 and 13, each security module.

hosts.py            one machine of each kind in HOSTS after the other, with a table at the end
hosts.py NAME...    these machines only; any name of the lab, such as apparmor-host

On each machine: enable_host, the same again, which must change nothing, then dumps and restores of containers with
every runtime that can. A machine has no package mirror, so that CRIU cannot be built on it: where the distribution's
package does not serve, enable_host gets a build of the lab (criu_artifact). Where the table of supported hosts refuses
a host, enable_host must say so and change nothing, and no container may start.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Sequence

from common import BUILD, LAB, RESULTS, ROOT, Entry, Report, ToolError, environment, main, say, venv_bin
from demo import continues, lab

sys.path.insert(0, str(LAB.parent))
sys.path.insert(0, str(ROOT / "tests/testinfra"))

from matrix_checks import APPARMOR, SELINUX

from ansible_collections.criu.hosts.plugins.module_utils._host.support import REFUSED, Row, row_of
from kinds import Kind, kind_of

HOSTS = (
    "trixie-plain",
    "trixie-permissive",
    "bookworm-plain",
    "bookworm-apparmor",
    "bookworm-permissive",
    "bookworm-enforcing",
)
RELEASES = {"bookworm": "12", "trixie": "13"}
# The cases of the matrix, without their runtime
CASES = ("threads", "redis", "unit")
LABELS = {"enforcing": SELINUX, "permissive": SELINUX, "apparmor": APPARMOR, "none": re.compile("")}
FACT = "/etc/ansible/facts.d/checkpoint_host.fact"
RECAP = re.compile(r"^\S+\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=\d+\s+failed=\d+\s+skipped=(\d+)", re.MULTILINE)
HEAD = ("machine", "CRIU used", "runtime", "label_proof", "second run", "seconds")
IMAGE = "localhost/lab-refused"
# On a refused host: an image, a container of it, which must not start, and what the kernel says about its label
STARTS = (
    ["podman", "import", "/var/lib/lab/workload.tar", IMAGE],
    ["podman", "--runtime", "runc", "run", "--rm", "--network", "none", IMAGE, "true"],
    ["journalctl", "--dmesg", "--no-pager", "--output=cat", "--grep=container_"],
)


@dataclass(frozen=True)
class Played:
    """A run of a playbook, and the counts of its tasks."""

    rc: int
    output: str
    ok: int
    changed: int
    skipped: int

    def __str__(self) -> str:
        return f"{self.ok} tasks ok, {self.changed} of them changed, {self.skipped} skipped"


@dataclass
class Seen:
    """What was seen on a machine: its rows of the table, what is wrong, and notes."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def package_serves(kind: Kind) -> bool:
    """Return whether the distribution's CRIU serves: that of Debian 13 does where no SELinux is."""
    return kind.suite == "trixie" and kind.lsm in ("apparmor", "none")


def row_for(kind: Kind) -> Row:
    """Return the row of the table of supported hosts for a machine."""
    lsm = "selinux" if kind.lsm in ("enforcing", "permissive") else kind.lsm
    return row_of("Debian", "debian", RELEASES[kind.suite], lsm)


def label_proof(kind: Kind) -> str:
    """Return the label_proof of container_restore on a machine of this kind."""
    return "selinux_disabled" if kind.lsm == "none" else kind.lsm


def parse_recap(rc: int, output: str) -> Played:
    """Return the counts in the last lines of ansible-playbook, which ran for one host; all zero if it did not."""
    found = RECAP.findall(output)
    ok, changed, skipped = map(int, found[-1]) if found else (0, 0, 0)
    return Played(rc, output, ok, changed, skipped)


def refusal_problems(row: Row, played: Played, starts: Sequence[tuple[int, str]]) -> list[str]:
    """Return what is wrong with a refusal, from the exit status and the output of the commands in STARTS."""
    problems = []
    if played.rc == 0:
        problems.append("enable_host succeeded, and the table refuses this host")
    elif row.why not in played.output:
        problems.append(f"enable_host does not say why: {row.why}")
    if played.changed:
        problems.append(f"enable_host changed {played.changed} things before it refused the host")
    imported, started = starts[0][0], starts[1][0]
    if imported:
        problems.append("podman cannot import an image, so nothing shows whether a container starts")
    elif not started:
        problems.append("the sentence of the table is not true: a container starts")
    return problems


def proof_problems(kind: Kind, second: Played, proofs: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is wrong with the second run, and with the proofs that the self-test has recorded."""
    problems = []
    if second.rc or second.changed:
        problems.append(f"the second run: exit status {second.rc}, {second.changed} tasks changed something")
    expected = {"runc"} if kind.suite == "bookworm" else {"runc", "crun"}
    tried = {proof["runtime"] for proof in proofs}
    if tried != expected:
        problems.append(f"the self-test used {sorted(tried)}, not {sorted(expected)}")
    for proof in proofs:
        label = proof["label_after"]
        if proof["label_proof"] != label_proof(kind):
            problems.append(f"{proof['runtime']}: label_proof is {proof['label_proof']}, not {label_proof(kind)}")
        if label != proof["label_before"] or not LABELS[kind.lsm].fullmatch(label):
            problems.append(f"{proof['runtime']}: the label was {proof['label_before']!r}, then {label!r}")
    return problems


def case_problems(kind: Kind, seen: dict[str, Any]) -> list[str]:
    """Return what is wrong with a case of the matrix: threads, labels or state that were not kept."""
    problems, before = [], seen["before"]
    if not before["threads"]:
        problems.append("no thread before the checkpoint")
    for moment in ("after", "after_import"):
        later = seen[moment]
        if moment == "after_import" and not later:
            continue
        if later["threads"] != before["threads"]:
            problems.append(f"{moment}: other threads or labels")
        wrong = {one["label"] for one in later["threads"] if not LABELS[kind.lsm].fullmatch(one["label"])}
        if wrong:
            problems.append(f"{moment}: labels {sorted(wrong)}")
        if not continues(before, later):
            problems.append(f"{moment}: its state was lost")
    return [f"{seen['case']}, {problem}" for problem in problems]


def matrix_problems(kind: Kind, cases: Sequence[str], matrix: dict[str, Any]) -> list[str]:
    """Return what is wrong with all cases, and the denials of SELinux that had an effect."""
    ran = [seen["case"] for seen in matrix["cases"]]
    problems = [] if sorted(ran) == sorted(cases) else [f"the cases {ran} ran, not {list(cases)}"]
    for seen in matrix["cases"]:
        problems += case_problems(kind, seen)
    # In permissive mode no boolean is switched on for a restore, and the kernel logs what that would have allowed.
    if kind.lsm == "enforcing":
        problems += [f"denied: {line[:200]}" for line in matrix["denials"]]
    return problems


def render_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows below HEAD, in columns."""
    lines = [HEAD, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]


def playbook(name: str, *arguments: str) -> Played:
    """Run a playbook on a machine, with its output shown."""
    env = {**environment(), "ANSIBLE_FORCE_COLOR": "0", "NO_COLOR": "1", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "0"}
    argv = [f"{venv_bin()}/ansible-playbook", "-i", str(BUILD / f"lab/inventory-{name}.yml"), *arguments]
    say(f"-- {name}: {shlex.join(argv[3:])}")
    lines = []
    with subprocess.Popen(
        argv,
        env=env,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return parse_recap(process.returncode, "".join(lines))


def on_machine(name: str, argv: Sequence[str]) -> tuple[int, str]:
    """Run a command on a machine over ssh; return its exit status and its output."""
    remote = ["ssh", "-F", str(BUILD / "lab/ssh_config"), name, shlex.join(argv)]
    done = subprocess.run(
        remote, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def see_refusal(name: str, kind: Kind, first: Played) -> Seen:
    """Check that the machine was refused, and that the reason is true."""
    starts = [on_machine(name, argv) for argv in STARTS]
    problems = refusal_problems(row_for(kind), first, starts)
    notes = [
        f"{shlex.join(argv)[:60]}: exit status {rc}, {text.strip()[-300:]}" for argv, (rc, text) in zip(STARTS, starts)
    ]
    return Seen([("none", "none", "refused", "not run")], problems, notes)


def see_checkpoints(name: str, kind: Kind, criu: str, second: Played) -> Seen:
    """Read the proof of the self-test, dump and restore containers, and check both."""
    rc, text = on_machine(name, ["cat", FACT])
    if rc:
        return Seen([(criu, "none", "none", "not run")], [f"no proof in {FACT}: {text.strip()}"])
    fact = json.loads(text)
    version = fact["ground"]["criu"].split()[0]
    again = f"{second.changed or 'nothing'} changed, {second.ok} ok"
    rows: list[tuple[str, ...]] = [
        (f"{version}, {criu}", one["runtime"], one["label_proof"], again) for one in fact["proofs"]
    ]
    cases = [f"{case}-{proof['runtime']}" for proof in fact["proofs"] for case in CASES]
    file = RESULTS / f"hosts-{name}.json"
    file.unlink(missing_ok=True)
    only = "|".join(f"{case}$" for case in cases)
    arguments = ["-e", f"matrix_report={file}", "-e", f"matrix_only={only}"]
    done = playbook(name, str(ROOT / "tests/testinfra/matrix/matrix.yml"), *arguments)
    problems = proof_problems(kind, second, fact["proofs"])
    if done.rc:
        return Seen(rows, [*problems, "the playbook of the matrix failed: see its output above"])
    matrix = json.loads(file.read_text(encoding="utf-8"))
    return Seen(rows, problems + matrix_problems(kind, cases, matrix), [f"dumped and restored: {', '.join(cases)}"])


def see(name: str) -> Seen:
    """Boot a machine, enable it twice, and look at what it can do."""
    kind = kind_of(name)
    given: list[str] = []
    if not package_serves(kind):
        given = ["-e", f"criu_artifact={lab('artifact', name)[-1]}"]
    lab("up", name)
    first = playbook(name, "criu.hosts.enable_host", *given)
    if row_for(kind).level == REFUSED:
        return see_refusal(name, kind, first)
    criu = "the lab's build" if given else "Debian's package"
    if first.rc:
        return Seen([(criu, "none", "none", "not run")], [f"enable_host failed: {first}. See its output above"])
    second = playbook(name, "criu.hosts.enable_host", *given)
    seen = see_checkpoints(name, kind, criu, second)
    seen.notes += [f"first run: {first}", f"second run: {second}"]
    return seen


def work() -> int:
    """Look at the machines one after the other; remove each one in any case."""
    names = sys.argv[1:] or list(HOSTS)
    RESULTS.mkdir(parents=True, exist_ok=True)
    report, rows = Report("hosts"), list[tuple[str, ...]]()
    for name in names:
        began = time.monotonic()
        try:
            seen = see(name)
        except ToolError as error:
            seen = Seen([("none", "none", "none", "not run")], [str(error)])
        finally:
            lab("down", name)
        seconds = time.monotonic() - began
        rows += [(name, *row, f"{seconds:.0f}") for row in seen.rows]
        notes = [*seen.problems, *seen.notes]
        report.add(Entry(name, int(not seen.problems), int(bool(seen.problems)), seconds=seconds, notes=notes))
    for line in render_table(rows):
        say(line)
    return report.finish()


if __name__ == "__main__":
    main(work)
