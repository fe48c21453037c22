"""Typed settings of the server: each field is a command-line flag."""

from dataclasses import dataclass

from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt


@dataclass
class ServerSettings:
    """Where the server listens, and what bounds it.

    Args:
        host: The address to listen on; the machine itself by default.
        port: The port; 0 takes a free one.
        certificate: PEM file of the server's certificate chain: TLS, with `key`.
        key: PEM file of the certificate's private key.
        client_certificates: PEM file of the authorities whose clients are let in: mutual TLS.
        metrics_port: Serves Prometheus metrics on this port, over plain HTTP.
        metrics_host: The address of the metrics; the machine itself by default.
        poll_seconds: How often the folder is looked at for new versions.
        drain_seconds: How long requests may still take after SIGTERM.
        batch_size: Rows that are computed together at most.
        workers: Batches that are computed at a time.
        queue_length: Requests that may wait; further ones get RESOURCE_EXHAUSTED.
        concurrent_requests: Requests that may be open; further ones get RESOURCE_EXHAUSTED.
        message_bytes: Size of a request at most.
        input_elements: Values of an input at most, of all rows together.
    """

    host: str = "127.0.0.1"
    port: NonNegativeInt = 8500
    certificate: str | None = None
    key: str | None = None
    client_certificates: str | None = None
    metrics_port: PositiveInt | None = None
    metrics_host: str = "127.0.0.1"
    poll_seconds: PositiveFloat = 1.0
    drain_seconds: PositiveFloat = 10.0
    batch_size: PositiveInt = 64
    workers: PositiveInt = 2
    queue_length: PositiveInt = 1_000
    concurrent_requests: PositiveInt = 2_000
    message_bytes: PositiveInt = 16 * 2**20
    input_elements: PositiveInt = 1_000_000
