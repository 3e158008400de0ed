# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the documentation: the texts in plugins and roles, and the documents with their tables."""

from __future__ import annotations

import json

from common import RESULTS, ROOT, Entry, Report, call, environment, main, venv_bin


def work() -> int:
    """Run both checks."""
    report = Report("docs")
    report.check(
        "antsibull-docs",
        [
            f"{venv_bin()}/antsibull-docs",
            "lint-collection-docs",
            "--plugin-docs",
            "--validate-collection-refs=dependent",
            "--disallow-unknown-collection-refs",
            ".",
        ],
    )
    file = RESULTS / "documents.json"
    file.unlink(missing_ok=True)
    dummy_seconds, rc = call(
        "documents", [f"{venv_bin()}/python", "tests/tools/documents.py"], env=environment(), cwd=ROOT
    )
    entries = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    report.entries += [Entry(**entry) for entry in entries]
    if rc and not report.failed:
        report.add(Entry("documents", failed=1, notes=[f"exit status {rc}"]))
    return report.finish()


if __name__ == "__main__":
    main(work)
