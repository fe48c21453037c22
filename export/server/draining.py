"""How requests get in, and how none is lost when the server stops."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import grpc

# Once none has come for so long, gRPC has no request left that the server has not seen.
QUIET_SECONDS = 0.2
LOOK_SECONDS = 0.02
# Health checking is answered whatever happens.
HELD = "/tensorflow.serving."


class Door(grpc.aio.ServerInterceptor):
    """Where requests come in; closed, it holds them.

    A stopping gRPC server drops the requests that it has received and not yet handed over. So the
    door is closed first: clients that wait for an answer send nothing new, and soon all that was
    received has been handed over. The connections are then told to go away, and the door is opened.
    """

    def __init__(self):
        self._passage = asyncio.Event()
        self._passage.set()
        self._last_came = 0.0
        self._inside = 0

    async def intercept_service(self, continuation, handler_call_details):
        """Counts the request, and holds it while the door is closed."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(HELD):
            return handler

        async def answer(request, context: grpc.aio.ServicerContext):
            async with self.passed():
                return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )

    @contextlib.asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Counts a request while it is answered, and holds it before that."""
        self._last_came = time.monotonic()
        self._inside += 1
        try:
            await self._passage.wait()
            yield
        finally:
            self._inside -= 1

    async def close(self, patience: float) -> None:
        """Holds what comes from now on, and returns when nothing comes any more.

        Args:
            patience: Seconds until it returns although requests come.
        """
        self._passage.clear()
        now = closed = time.monotonic()
        while now < closed + patience and now < max(closed, self._last_came) + QUIET_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()

    def open(self) -> None:
        """Lets in what was held."""
        self._passage.set()

    async def emptied(self, patience: float) -> bool:
        """Waits until every request is answered; False if that takes longer than `patience`."""
        end = time.monotonic() + patience
        while self._inside and time.monotonic() < end:
            await asyncio.sleep(LOOK_SECONDS)
        return not self._inside
