"""A disk that loses what was not flushed when its power is cut.

Serves one image over NBD, which QEMU takes as a disk, and writes down what was asked of
it, in order, so that the power can be cut at any moment afterwards, and more than once:

    guest ── write, flush ──▶ QEMU ──▶ Disk ──▶ log: write 7 · written 7 · flush 8 · flushed 8
                                                        │
                                     image(upto, how) ◀─┘

What a flush promises is what was *answered* before the flush came, and only once the flush
is answered itself. Answers are late on purpose, as a memory card's are. Everything else
that was written may be on the disk or not:

    "lost"   none of it
    "kept"   all of it
    "some"   each write or not, by lot
    "torn"   each sector of 512 bytes or not, by lot

Always true: one guest at a time; sizes are checked before anything is read. Threads: one
that reads requests, one that answers when it is time.
"""

import heapq
import os
import random
import socket
import struct
import threading
import time

SECTOR = 512
HOWS = ("lost", "kept", "some", "torn")
# Seconds until a write and a flush are answered, at most.
WRITE_TAKES, FLUSH_TAKES = 0.002, 0.006

# NBD: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
MAGIC, OPTION_MAGIC, OPTION_REPLY = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9
REQUEST, SIMPLE_REPLY = 0x25609513, 0x67446698
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
OPT_GO, INFO_EXPORT, REP_ACK, REP_INFO, REP_UNSUPPORTED = 7, 0, 1, 3, (1 << 31) + 1
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
COMMAND_FUA = 1
INVALID = 22
LARGEST = 32 << 20


class Disk:
    """One start of the guest, from `image` to the cut."""

    def __init__(self, image: bytes, path: str, dice: random.Random):
        self.before = image
        self.now = bytearray(image)
        self.log: list[tuple] = []
        self.dice = dice
        self.lock = threading.Lock()
        self.due: list[tuple] = []
        self.work = threading.Condition(self.lock)
        self.is_over = False
        self.number = 0
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        self.listener.bind(path)
        self.listener.listen(1)
        self.threads = [threading.Thread(target=self._serve, daemon=True)]
        self.threads[0].start()

    def written(self) -> int:
        """How long the log is: what is known now was so by then."""
        with self.lock:
            return len(self.log)

    def close(self) -> None:
        """After the guest is dead: what it had sent is in the log."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        for thread in self.threads:
            thread.join(10)
        self.listener.close()

    def image(self, upto: int, how: str, dice: random.Random, forgets_flushes: bool = False) -> bytes:
        """What a cut after `upto` entries of the log leaves on the disk."""
        image = bytearray(self.before)
        unsure: dict[int, tuple[int, bytes]] = {}
        answered: set[int] = set()
        promised: dict[int, list[int]] = {}
        for what, number, *rest in self.log[:upto]:
            if what == "write":
                unsure[number] = (rest[0], rest[1])
            elif what == "written":
                answered.add(number)
                if rest[0] and not forgets_flushes:
                    put(image, *unsure.pop(number))
            elif what == "flush":
                promised[number] = [write for write in unsure if write in answered]
            elif what == "flushed" and not forgets_flushes:
                for write in promised.pop(number):
                    if write in unsure:
                        put(image, *unsure.pop(write))
        for offset, data in unsure.values():
            if how == "kept" or (how == "some" and dice.random() < 0.5):
                put(image, offset, data)
            elif how == "torn":
                for start in range(0, len(data), SECTOR):
                    if dice.random() < 0.5:
                        put(image, offset + start, data[start:start + SECTOR])
        return bytes(image)

    def _serve(self) -> None:
        try:
            guest, _ = self.listener.accept()
        except OSError:
            return
        answers = threading.Thread(target=self._answer, args=(guest,), daemon=True)
        self.threads.append(answers)
        answers.start()
        try:
            stream = guest.makefile("rb")
            negotiate(guest, stream, len(self.now))
            self._take_requests(stream)
        except (OSError, EOFError):
            pass  # The guest is dead: that is what we are for.
        with self.work:
            self.is_over = True
            self.work.notify()
        answers.join(10)
        guest.close()

    def _take_requests(self, stream) -> None:
        while True:
            magic, flags, kind, handle, offset, length = struct.unpack(
                ">IHHQQI", exactly(stream, 28))
            if magic != REQUEST or kind == DISCONNECT:
                return
            if kind in (READ, WRITE) and (length > LARGEST or offset + length > len(self.now)):
                return
            data = exactly(stream, length) if kind == WRITE else b""
            with self.work:
                self.number += 1
                number = self.number
                head = struct.pack(">IIQ", SIMPLE_REPLY, 0, handle)
                if kind == READ:
                    self._later(0, None, head + self.now[offset:offset + length])
                elif kind == WRITE:
                    put(self.now, offset, data)
                    self.log.append(("write", number, offset, data))
                    entry = ("written", number, bool(flags & COMMAND_FUA))
                    self._later(WRITE_TAKES, entry, head)
                elif kind == FLUSH:
                    self.log.append(("flush", number))
                    self._later(FLUSH_TAKES, ("flushed", number), head)
                else:
                    self._later(0, None, struct.pack(">IIQ", SIMPLE_REPLY, INVALID, handle))

    def _later(self, at_most: float, entry: tuple | None, answer: bytes) -> None:
        due = time.monotonic() + at_most * self.dice.random()
        heapq.heappush(self.due, (due, self.number, entry, answer))
        self.work.notify()

    def _answer(self, guest: socket.socket) -> None:
        while True:
            with self.work:
                while not self.is_over and (not self.due or self.due[0][0] > time.monotonic()):
                    left = self.due[0][0] - time.monotonic() if self.due else None
                    self.work.wait(left)
                if self.is_over:
                    return
                _, _, entry, answer = heapq.heappop(self.due)
                # In the log first: a flush that the guest sends upon it must find it there.
                if entry:
                    self.log.append(entry)
            try:
                guest.sendall(answer)
            except OSError:
                return


def put(image: bytearray, offset: int, data: bytes) -> None:
    """Writes `data` at `offset`."""
    image[offset:offset + len(data)] = data


def negotiate(guest: socket.socket, stream, size: int) -> None:
    """NBD's fixed newstyle handshake: one export, whatever it is called."""
    guest.sendall(MAGIC + OPTION_MAGIC + struct.pack(">H", FIXED_NEWSTYLE | NO_ZEROES))
    exactly(stream, 4)
    while True:
        magic, option, length = struct.unpack(">8sII", exactly(stream, 16))
        if magic != OPTION_MAGIC or length > 4096:
            raise EOFError
        exactly(stream, length)

        def reply(kind: int, data: bytes = b"") -> None:
            guest.sendall(struct.pack(">QIII", OPTION_REPLY, option, kind, len(data)) + data)

        if option == OPT_GO:
            flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA
            reply(REP_INFO, struct.pack(">HQH", INFO_EXPORT, size, flags))
            reply(REP_ACK)
            return
        reply(REP_UNSUPPORTED)


def exactly(stream, count: int) -> bytes:
    """So many bytes, or EOFError."""
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data
