# SPDX-License-Identifier: GPL-3.0-or-later
"""Try the reports on the test host, or each third of them (--sample), and write the results.

main.py RESULTS [NAME...|--sample]   a line of JSON for each: name, sources, problems, seconds; or {"unusable": why}
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback

from host import REPORTS, NotHereError, clean
from run import usable

# They add themselves to REPORTS.
for name in ("containers", "plain_processes", "units"):
    importlib.import_module(name)


def main() -> int:
    """Run the reports, or those of the given names."""
    path, names = sys.argv[1], sys.argv[2:]
    chosen = REPORTS[::3] if names == ["--sample"] else [one for one in REPORTS if not names or one.name in names]
    why_not = usable()
    with open(path, "a", encoding="utf-8") as results:
        if why_not:
            results.write(json.dumps({"unusable": why_not}) + "\n")
            return 0
        for one in chosen:
            began = time.monotonic()
            entry: dict[str, object] = {"name": one.name, "sources": one.sources, "problems": []}
            try:
                clean()
                entry["problems"] = one.run()
            except NotHereError as error:
                entry["skipped"] = str(error)
            except Exception:  # noqa: BLE001 -- the next report is tried nevertheless
                entry["problems"] = [f"the test failed: {' '.join(traceback.format_exc().split())[-600:]}"]
            results.write(json.dumps({**entry, "seconds": round(time.monotonic() - began, 1)}) + "\n")
            results.flush()
    clean()
    return 0


if __name__ == "__main__":
    sys.exit(main())
