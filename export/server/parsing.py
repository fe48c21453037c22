"""Messages that cannot be read."""

import grpc
from google.protobuf.message import DecodeError


class Parsing(grpc.aio.ServerInterceptor):
    """Answers a message that cannot be read with INVALID_ARGUMENT; gRPC would say UNKNOWN."""

    async def intercept_service(self, continuation, handler_call_details):
        """Parses the message where the status of the answer can still be chosen."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler

        async def answer(message: bytes, context: grpc.aio.ServicerContext):
            try:
                request = handler.request_deserializer(message)
            except DecodeError:
                told = f"The message is not one that {handler_call_details.method} takes."
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, told)
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )
