"""Typed settings of the server: each field is a command-line flag."""

from dataclasses import dataclass, field

from tfrs_timirec.ranges import Count, Elements, Few, Port, Seconds


@dataclass
class ServerSettings:
    """Where the server listens, and what bounds it.

    Args:
        host: The address to listen on; the machine itself by default.
        port: The port; 0 takes a free one.
        rest_port: Answers TF-Serving's REST protocol on this port; 0 takes a free one.
        rest_origins: Web pages of these origins may ask by REST, such as https://shop.example.
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
        request_rows: Rows of a request at most.
        input_elements: Values of an input at most, of all rows together; where one row stands for
            all, it counts for each. So many items may be asked for at most, of all rows together.
    """

    host: str = "127.0.0.1"
    port: Port = 8500
    rest_port: Port | None = None
    rest_origins: list[str] = field(default_factory=list)
    certificate: str | None = None
    key: str | None = None
    client_certificates: str | None = None
    metrics_port: Port | None = None
    metrics_host: str = "127.0.0.1"
    poll_seconds: Seconds = 1.0
    drain_seconds: Seconds = 10.0
    batch_size: Count = 64
    workers: Few = 2
    queue_length: Count = 1_000
    concurrent_requests: Count = 2_000
    message_bytes: Elements = 16 * 2**20
    request_rows: Count = 1_024
    input_elements: Elements = 1_000_000
