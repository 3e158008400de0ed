# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failure of a module may carry is documented in its RETURN, to the word."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.criu.hosts.tests.unit.contracts.call_graph import CallGraph, Unit
from ansible_collections.criu.hosts.tests.unit.contracts.failures import Found, failures
from ansible_collections.criu.hosts.tests.unit.contracts.layout import MODULES, TREE, place

GRAPH = CallGraph(TREE)

# Steps of a plan that write files: without one, and without a lock, no failure of a file can happen.
FILE_STEPS = {"MakeDir", "WriteFile", "Rename", "Link", "Remove", "Unpack", "Together"}
OF_FILES = {"file_failed", "disk_full", "path"}
