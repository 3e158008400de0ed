# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold one file descriptor of each kind, use all of them repeatedly, and count the rounds.

Usage: descriptors.py [--interval SECONDS] [--folder DIR]

The program ends if a descriptor does not work after a restore, or if SELinux no longer allows its use.
"""

import os
import select
import socket
import sys
import time


def option(name, default):
    """Return the value that follows an option."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def expect(found, wanted, what):
    """End the program if a descriptor returns a different value."""
    if found != wanted:
        raise OSError("%s gave %r instead of %r" % (what, found, wanted))


class Descriptors:
    """The descriptors, opened once."""

    def __init__(self):
        self.pipe = os.pipe()
        self.stream = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.dgram = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen(1)
        self.memory = os.memfd_create("descriptors")
        self.event = os.eventfd(0, os.EFD_NONBLOCK)
        self.epoll = select.epoll()
        self.epoll.register(self.event, select.EPOLLIN)
        self.terminal = os.openpty()

    def use(self, value):
        """Send ``value`` through each of them."""
        data = b"%d\n" % value
        os.write(self.pipe[1], data)
        expect(os.read(self.pipe[0], 64), data, "pipe")
        for name, pair in (("stream", self.stream), ("dgram", self.dgram)):
            pair[0].send(data)
            expect(pair[1].recv(64), data, name)
        self.udp.sendto(data, self.udp.getsockname())
        expect(self.udp.recv(64), data, "udp")
        expect(self.listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), 1, "listening socket")
        os.pwrite(self.memory, data, 0)
        expect(os.pread(self.memory, len(data), 0), data, "memfd")
        os.eventfd_write(self.event, 1)
        expect(self.epoll.poll(5), [(self.event, select.EPOLLIN)], "epoll")
        expect(os.eventfd_read(self.event), 1, "eventfd")
        os.write(self.terminal[0], data)
        expect(os.read(self.terminal[1], 64), data, "terminal")
        os.read(self.terminal[0], 64)


def main():
    """Use them until one fails."""
    folder = option("--folder", "/app/state")
    interval = float(option("--interval", "0.2"))
    os.makedirs(folder, exist_ok=True)
    held = Descriptors()
    with open(os.path.join(folder, "thread-0"), "w") as out:
        value = 0
        while True:
            value += 1
            held.use(value)
            out.seek(0)
            out.write("0 %d %d\n" % (os.getpid(), value))
            out.flush()
            time.sleep(interval)


if __name__ == "__main__":
    main()
