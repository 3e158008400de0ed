# SPDX-License-Identifier: GPL-3.0-or-later
"""A service with threads that keeps all it knows in memory: each thread counts, and every visitor is told how far.

counter.py [PORT THREADS]
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from typing import Any


def count(counts: list[int], number: int) -> None:
    """Count for ever."""
    while True:
        counts[number] += 1
        time.sleep(0.5)


def answer(connection: socket.socket, seen: dict[str, Any]) -> None:
    """Read one request and say what there is."""
    with connection:
        connection.settimeout(10)
        connection.recv(4096)
        body = json.dumps(seen).encode()
        head = f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)


def end(*dummy: Any) -> None:
    """Stop at once: there is nothing to save."""
    sys.exit(0)


def main() -> None:
    """Start the threads and serve."""
    # The first process of a container ignores a SIGTERM without a handler, so that a stop takes its whole time-out.
    signal.signal(signal.SIGTERM, end)
    port, threads = (int(word) for word in (sys.argv[1:] or ["8000", "4"]))
    started, visitors, counts = time.time(), 0, [0] * threads
    for number in range(threads):
        threading.Thread(target=count, args=(counts, number), daemon=True).start()
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, dummy_address = server.accept()
            visitors += 1
            try:
                answer(connection, {"started": started, "visitors": visitors, "counts": counts})
            except OSError:
                continue  # a visitor that went away


if __name__ == "__main__":
    main()
