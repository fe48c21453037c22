"""What a request can be refused with."""

import grpc


class RequestError(Exception):
    """A request that is answered with a status.

    Args:
        code: The gRPC status.
        message: A sentence for the client.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code


def invalid(message: str) -> RequestError:
    """INVALID_ARGUMENT."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestError:
    """NOT_FOUND."""
    return RequestError(grpc.StatusCode.NOT_FOUND, message)


def exhausted(message: str) -> RequestError:
    """RESOURCE_EXHAUSTED."""
    return RequestError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def unavailable(message: str) -> RequestError:
    """UNAVAILABLE."""
    return RequestError(grpc.StatusCode.UNAVAILABLE, message)
