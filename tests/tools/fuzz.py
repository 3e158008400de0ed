# SPDX-License-Identifier: GPL-3.0-or-later
"""Feed every parser and reader hostile inputs, and count them.

fuzz.py           about 1,000 inputs for each of the targets, others in each run: the seed is printed
fuzz.py SEED      the same inputs as the run that printed this seed
fuzz.py sample    few inputs, the same in each run, as `make test` does
"""

from __future__ import annotations

import secrets
import sys

from common import BUILD, RESULTS, Report, ToolError, call, environment, junit_entry, main, say, venv_bin

EACH = {"sample": "40", "long": "1000"}


def work() -> int:
    """Run the tests below tests/fuzz."""
    given = sys.argv[1] if sys.argv[1:] else str(secrets.randbelow(10**9))
    if given != "sample" and not given.isdecimal():
        raise ToolError(f"Cannot fuzz with {given!r}: give the seed of an earlier run, a number, or sample.")
    variables = {"FUZZ_EACH": EACH["sample"]} if given == "sample" else {"FUZZ_EACH": EACH["long"], "FUZZ_SEED": given}
    if given != "sample":
        say(f"-- seed {given}: make fuzz SEED={given} repeats this run")
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / "fuzz.xml"
    file.unlink(missing_ok=True)
    argv = [str(venv_bin() / "python"), "-m", "pytest", "-q", "--tb=short", f"--junit-xml={file}", "tests/fuzz"]
    env = {**environment(), **variables, "HYPOTHESIS_STORAGE_DIRECTORY": str(BUILD / "hypothesis")}
    seconds, rc = call("fuzz", argv, env=env)
    report = Report("fuzz")
    report.add(junit_entry("fuzz", [file] if file.exists() else [], seconds=seconds, rc=rc))
    return report.finish()


if __name__ == "__main__":
    main(work)
