"""Server-sent events from bytes, wherever the network cut them."""

from __future__ import annotations

from .events import EngineError

LARGEST = 4 << 20  # bytes of one event: no answer needs more, and memory has an end


class EventStream:
    """Gives the data of each event once it is whole; comments and other fields are passed over."""

    def __init__(self) -> None:
        self._held = bytearray()  # the line that is not whole yet
        self._after_return = False  # a line feed that follows belongs to the line before
        self._data: list[str] = []  # of the event that is not whole yet
        self._size = 0

    def push(self, received: bytes) -> list[str]:
        """Raises EngineError for an event that has no end."""
        whole = []
        for line in self._lines(received):
            self._size += len(line)
            if line:
                self._field(line)
            elif self._data:
                whole.append(self._event())
        if len(self._held) + self._size > LARGEST:
            raise EngineError("The server sent an event without an end.", "Is it a model server?")
        return whole

    def flush(self) -> list[str]:
        """What is left when the stream ends: some servers leave the last blank line out."""
        if self._held:
            self._field(bytes(self._held))
            self._held.clear()
        return [self._event()] if self._data else []

    def _lines(self, received: bytes) -> list[bytes]:
        if self._after_return and received.startswith(b"\n"):
            received = received[1:]
        if received:
            self._after_return = received.endswith(b"\r")
        *whole, rest = received.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if whole:
            whole[0] = bytes(self._held) + whole[0]
            self._held.clear()
        self._held += rest
        return whole

    def _field(self, line: bytes) -> None:
        name, _, value = line.decode(errors="replace").partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        elif name == "error":  # a field of older llama-servers
            self._data.append(f'{{"error":{value}}}')

    def _event(self) -> str:
        event = "\n".join(self._data)
        self._data, self._size = [], 0
        return event
