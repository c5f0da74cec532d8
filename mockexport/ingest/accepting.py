"""The listening side: each turn of the event loop takes up every connection that waits in the kernel.

uvloop takes one connection per listening handle and turn, so under load the last of some hundred clients waits for
seconds without having been heard, where no admission can see it. Here a turn drains the queue. While there is much to
do, a connection's request is looked at first: it is admitted there and then, or hears 503 without becoming one of the
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
# While there is much to do, a connection on which nothing has come yet is looked at once more, so much later, before it
# becomes one of the loop's, which costs as much as three refusals.
_SILENT_S = 0.005
# A request with one reading; what is longer is left to the parser.
_LOOK_BYTES = 4_096


class _Acceptor:
    """Takes up the connections of one listening socket; stands where uvicorn expects an `asyncio.Server`."""

    def __init__(
        self, listener: socket.socket, connection: Callable[[Admitted | None], asyncio.Protocol], entrance: Entrance
    ) -> None:
        self.sockets = (listener,)
        self._listener, self._connection, self._entrance = listener, connection, entrance
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._silent: list[socket.socket] = []
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
            if self._entrance.admission.calm:
                self._take_up(accepted)
            elif not self._judged(accepted):
                if not self._silent:
                    self._loop.call_later(_SILENT_S, self._look_again)
                self._silent.append(accepted)

    def _look_again(self) -> None:
        silent, self._silent = self._silent, []
        for accepted in silent:
            if not self._judged(accepted):
                self._take_up(accepted)

    def _judged(self, accepted: socket.socket) -> bool:
        """Admit or refuse a connection whose request is there and whole; tell whether that was so."""
        try:
            data = accepted.recv(_LOOK_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            if not is_whole_post(data):
                return False
            if not self._entrance.admission.full:
                # Counted now: what else is taken up in this turn must know of it.
                self._take_up(accepted, self._entrance.begin(len(data)))
                return True
            self._entrance.refuse()
            # Taken, not only looked at: a close with unread bytes would reset the connection and take the reply back.
            accepted.recv(len(data))
            accepted.send(LAST_REFUSAL)
        except BlockingIOError:
            return False
        except OSError:
            pass  # the client has left
        accepted.close()
        return True

    def _take_up(self, accepted: socket.socket, admitted: Admitted | None = None) -> None:
        task = self._loop.create_task(self._open(accepted, admitted))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket, admitted: Admitted | None) -> None:
        try:
            if self._closed:
                raise ConnectionAbortedError
            await self._loop.connect_accepted_socket(lambda: self._connection(admitted), accepted)
        except OSError:
            accepted.close()
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

        def connection(admitted: Admitted | None) -> asyncio.Protocol:
            made = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            if admitted is not None and isinstance(made, DeadlineProtocol):
                made.expect(admitted)
            return made

        listeners = [socket.socket(fileno=os.dup(each.fileno())) for server in self.servers for each in server.sockets]
        for server in self.servers:
            server.close()
        self.servers = [_Acceptor(each, connection, entrance) for each in listeners]  # type: ignore[misc]  # in its place
