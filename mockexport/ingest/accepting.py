"""The listening side: each turn of the event loop takes up every connection that waits in the kernel.

uvloop takes one connection per listening handle and turn, so under load the last of some hundred clients waits for
seconds without having been heard, where no admission can see it. Here a turn drains the queue. A connection's request
is looked at first: where it is there and whole, it is admitted there and then, or hears 503 without becoming one of the
loop's. A plain reading is stored and answered without it, too: many a device brings one reading and leaves.
"""

import asyncio
import os
import socket
from collections.abc import Callable

from uvicorn.server import Server, ServerState

from mockexport.ingest.admission import Admitted
from mockexport.ingest.entrance import ENTRANCE, Entrance
from mockexport.ingest.errors import Unavailable
from mockexport.ingest.plain import PlainHead, whole_post
from mockexport.ingest.refusals import LAST_REFUSAL
from mockexport.ingest.wire import DeadlineProtocol

__all__ = ["PromptServer"]

# Out of file descriptors, the next look is so much later.
_PAUSE_S = 0.1
# A connection on which nothing has come is looked at again so much later, before it becomes one of the loop's, which
# costs as much as three readings: up to this many times while there is much to do, and after a reply.
_SILENT_S = 0.005
_LOOKS = 8
_LOOKS_AFTER = 4
# A request with one reading; what is longer is left to the parser.
_LOOK_BYTES = 4_096
# What is sent waits for the close that follows, so that both go out as one packet. Linux alone knows it.
_WITH_THE_CLOSE: int = getattr(socket, "MSG_MORE", 0)


# What has come on a connection already, and its request, if that is whole and has been admitted.
_First = tuple[bytes, Admitted | None]


class _Acceptor:
    """Takes up the connections of one listening socket; stands where uvicorn expects an `asyncio.Server`."""

    def __init__(
        self,
        listener: socket.socket,
        connection: Callable[[_First], asyncio.Protocol],
        entrance: Entrance,
        state: ServerState,
    ) -> None:
        self.sockets = (listener,)
        self._listener, self._connection, self._entrance, self._state = listener, connection, entrance, state
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        # With how often each is still to be looked at, and whether it has been answered once.
        self._silent: list[tuple[socket.socket, int, bool]] = []
        # How many wait for a commit, and whether there are none.
        self._storing = 0
        self._stored = asyncio.Event()
        self._stored.set()
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
            self._judge(accepted, 0 if self._entrance.readings.calm else _LOOKS, answered=False)

    def _look_again(self) -> None:
        silent, self._silent = self._silent, []
        for accepted, looks, answered in silent:
            self._judge(accepted, looks, answered=answered)

    def _look_later(self, accepted: socket.socket, looks: int, *, answered: bool) -> None:
        if not self._silent:
            self._loop.call_later(_SILENT_S, self._look_again)
        self._silent.append((accepted, looks, answered))

    def _judge(self, accepted: socket.socket, looks: int, *, answered: bool) -> None:
        """Do what the bytes on a connection call for: store, refuse, take it up, close it, or look again later."""
        try:
            data = accepted.recv(_LOOK_BYTES, socket.MSG_DONTWAIT)
            head = None if answered else whole_post(data)
            if not data:
                accepted.close()
            elif head is None:
                # Also a client that stays for a second request.
                self._take_up(accepted, (data, None))
            elif self._entrance.is_full_for(head.body_bytes):
                self._entrance.refuse(head.body_bytes)
                accepted.send(LAST_REFUSAL, _WITH_THE_CLOSE)
                accepted.close()
            elif not self._store(accepted, head, data):
                # Counted now: what else is taken up in this turn must know of it.
                self._take_up(accepted, (data, self._entrance.begin(head.body_bytes)))
        except BlockingIOError:
            if looks:
                self._look_later(accepted, looks - 1, answered=answered)
            else:
                self._take_up(accepted)
        except OSError:
            accepted.close()  # the client has left

    def _store(self, accepted: socket.socket, head: PlainHead, data: bytes) -> bool:
        """Let a plain reading go the short way; tell whether it does."""
        short_way = self._entrance.short_way

        def settled(failure: Unavailable | None) -> None:
            admitted.end()
            self._storing -= 1
            if not self._storing:
                self._stored.set()
            if short_way is not None:
                try:
                    accepted.send(short_way.reply(head, failure, admitted.began, self._state.default_headers))
                except OSError:
                    accepted.close()  # the client has left
                else:
                    self._look_later(accepted, _LOOKS_AFTER, answered=True)

        if short_way is None or not short_way.take(head, data, accepted.getsockname()[0], settled):
            return False
        admitted = self._entrance.begin(head.body_bytes)
        self._storing += 1
        self._stored.clear()
        return True

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
                admitted.end()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    async def wait_closed(self) -> None:
        await self._stored.wait()
        for accepted, _, _ in self._silent:
            accepted.close()
        self._silent.clear()
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
        self.servers[:] = [_Acceptor(each, connection, entrance, self.server_state) for each in listeners]  # type: ignore[misc]  # in its place
