# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: returns the known name that is most similar to a mistyped one."""

from __future__ import annotations

import difflib
from typing import Any, Callable

from ansible.errors import AnsibleFilterError


def similar_name(name: Any, names: Any) -> str:
    """Returns the most similar of the names; an empty string if none is similar."""
    try:
        close = difflib.get_close_matches(str(name), [str(one) for one in names], n=1, cutoff=0.6)
    except TypeError as error:
        raise AnsibleFilterError(f"Cannot find a similar name: give the known names as a list ({error}).") from error
    return close[0] if close else ""


class FilterModule:
    """Provides the filter of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"similar_name": similar_name}
