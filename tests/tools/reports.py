# SPDX-License-Identifier: GPL-3.0-or-later
"""Try what people reported elsewhere, with real podman, CRIU and systemd, on a host out of namespaces.

reports.py [SUITE]            all reports, on a host of Debian 13 (trixie), or of another suite (bookworm)
reports.py [SUITE] NAME...    these reports
reports.py [SUITE] --sample   each third report

See crash.py for the host; here systemd is its process 1. On a kernel without checkpoints the reports are skipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator

from common import BUILD, Entry, Report, ToolError, main, say
from crash import SUITE, host_argv, remove_host
from node import PACKAGES

SUITES = (SUITE, *PACKAGES)

# The host is removed when the reports take longer.
SECONDS = 1800.0


def results(path: Path, ended: threading.Event) -> Iterator[dict[str, Any]]:
    """Yield what the program on the host reports, until it has ended."""
    with path.open(encoding="utf-8") as handle:
        while True:
            last = ended.is_set()
            for line in handle:
                yield json.loads(line)
            if last:
                return
            time.sleep(0.5)


def work() -> int:
    """Run the reports; print a line for each that does not hold."""
    words = sys.argv[1:]
    suite = words.pop(0) if words and words[0] in SUITES else SUITE
    step = "reports" if suite == SUITE else f"reports_{suite}"
    report, output = Report(step), BUILD / step
    output.mkdir(parents=True, exist_ok=True)
    for name in ("log", "results"):
        (output / name).write_text("", encoding="utf-8")
    began, ended, seen = time.monotonic(), threading.Event(), 0
    argv = host_argv("reports/main.py", "/crash/output/results", *words, output=output, suite=suite)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()

        def wait() -> None:
            process.wait()
            ended.set()

        threading.Thread(target=wait, daemon=True).start()
        for one in results(output / "results", ended):
            if "unusable" in one:
                report.add(Entry("reports", skipped=1, notes=[f"no checkpoints on this kernel: {one['unusable']}"]))
                continue
            seen += 1
            if one.get("skipped"):
                report.add(Entry(one["name"], skipped=1, notes=[one["skipped"]]))
                continue
            bad = [f"{problem} ({one['sources']})" for problem in one["problems"]]
            report.add(Entry(one["name"], int(not bad), int(bool(bad)), seconds=one["seconds"], notes=bad))
        timer.cancel()
    remove_host()
    printed = (output / "log").read_text(encoding="utf-8", errors="replace").strip()
    if printed:
        say(printed[-3000:])
    if not report.entries and not printed:
        why = f"systemd does not start in namespaces on this machine (exit status {process.returncode})"
        report.add(Entry("reports", skipped=1, notes=[why]))
        return report.finish()
    if "Traceback" in printed or not report.entries:
        raise ToolError("The test host ended early. Its output is above.")
    say(f"{step}: {seen} in {time.monotonic() - began:.0f} s")
    return report.finish()


if __name__ == "__main__":
    main(work)
