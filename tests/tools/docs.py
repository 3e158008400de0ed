# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the documentation: the texts in plugins and roles, and the documents with their tables."""

from __future__ import annotations

import json

from common import RESULTS, ROOT, Entry, Report, call, environment, main, venv_bin

# antsibull-docs 2.28 writes the name of its temporary folder into the text that it checks. One name in 37 ends with an
# underscore, which makes it a reference to a target that does not exist, and the check fails.
ANTSIBULL_DOCS = """\
import sys
import tempfile

tempfile._RandomNameSequence.characters = "abcdefghijklmnopqrstuvwxyz0123456789"

from antsibull_docs.cli.antsibull_docs import main

sys.exit(main())
"""


def work() -> int:
    """Run both checks."""
    report = Report("docs")
    report.check(
        "antsibull-docs",
        [
            f"{venv_bin()}/python",
            "-c",
            ANTSIBULL_DOCS,
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
