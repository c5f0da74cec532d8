"""The listening side: each turn of the event loop takes up every connection that waits in the kernel.

uvloop takes one connection per listening handle and turn, so under load the last of some hundred clients waits for
seconds without having been heard, where no admission can see it. Here a turn drains the queue. A connection's request
is looked at first: where it is there and whole, it is admitted there and then, or hears 503 without becoming one of the
loop's.
"""

import asyncio
import os
import socket
from collections.abc import Callable

from uvicorn.server import Server

from mockexport.ingest.admission import Admitted
from mockexport.ingest.entrance import ENTRANCE, Entrance
from mockexport.ingest.refusals import LAST_REFUSAL, is_whole_post
from mockexport.ingest.wire import DeadlineProtocol

__all__ = ["PromptServer"]

# Out of file descriptors, the next look is so much later.
_PAUSE_S = 0.1
# While there is much to do, a connection on which nothing has come yet is looked at again so much later, and up to so
# many times, before it becomes one of the loop's, which costs as much as three refusals.
_SILENT_S = 0.005
_LOOKS = 8
# A request with one reading; what is longer is left to the parser.
_LOOK_BYTES = 4_096
# What is sent waits for the close that follows, so that both go out as one packet. Linux alone knows it.
_WITH_THE_CLOSE: int = getattr(socket, "MSG_MORE", 0)


# What has come on a connection already, and its request, if that is whole and has been admitted.
_First = tuple[bytes, Admitted | None]


class _Acceptor:
    """Takes up the connections of one listening socket; stands where uvicorn expects an `asyncio.Server`."""

    def __init__(
        self, listener: socket.socket, connection: Callable[[_First], asyncio.Protocol], entrance: Entrance
    ) -> None:
        self.sockets = (listener,)
        self._listener, self._connection, self._entrance = listener, connection, entrance
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        # With how often each has been looked at.
        self._silent: list[tuple[socket.socket, int]] = []
        self._closed = False
        listener.setblocking(False)
        self._listen()

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener.fileno(), self._drain)

    def _drain(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(_PAUSE_S, self._listen)
                return
            self._judge(accepted, 1)

    def _look_again(self) -> None:
        silent, self._silent = self._silent, []
        for accepted, looks in silent:
            self._judge(accepted, looks + 1)

    def _judge(self, accepted: socket.socket, looks: int) -> None:
        """Take up a connection with what has come on it; refuse one whose request is whole where that is too much."""
        try:
            data = accepted.recv(_LOOK_BYTES, socket.MSG_DONTWAIT)
            if not is_whole_post(data):
                self._take_up(accepted, (data, None))
            elif not self._entrance.admission.full:
                # Counted now: what else is taken up in this turn must know of it.
                self._take_up(accepted, (data, self._entrance.begin(len(data))))
            else:
                self._entrance.refuse()
                accepted.send(LAST_REFUSAL, _WITH_THE_CLOSE)
                accepted.close()
        except BlockingIOError:
            if looks == _LOOKS or self._entrance.admission.calm:
                self._take_up(accepted)
                return
            if not self._silent:
                self._loop.call_later(_SILENT_S, self._look_again)
            self._silent.append((accepted, looks))
        except OSError:
            accepted.close()  # the client has left

    def _take_up(self, accepted: socket.socket, first: _First = (b"", None)) -> None:
        task = self._loop.create_task(self._open(accepted, first))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket, first: _First) -> None:
        try:
            if self._closed:
                raise ConnectionAbortedError
            await self._loop.connect_accepted_socket(lambda: self._connection(first), accepted)
        except OSError:
            accepted.close()
            admitted = first[1]
            if admitted is not None:
                self._entrance.admission.end(admitted)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._opening, return_exceptions=True)


class PromptServer(Server):
    """uvicorn's server, with another way of taking up connections."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and then take the listening sockets over."""
        await super().startup(sockets)
        entrance = self.lifespan.state[ENTRANCE]

        def connection(first: _First) -> asyncio.Protocol:
            made = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            if isinstance(made, DeadlineProtocol):
                made.begin_with(*first)
            return made

        listeners = [socket.socket(fileno=os.dup(each.fileno())) for server in self.servers for each in server.sockets]
        for server in self.servers:
            server.close()
        self.servers = [_Acceptor(each, connection, entrance) for each in listeners]  # type: ignore[misc]  # in its place
