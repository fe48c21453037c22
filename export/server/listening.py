"""Ports and certificates, checked before anything is served."""

import ssl
from pathlib import Path

import grpc
import prometheus_client

from tfrs_timirec.errors import UserError
from tfrs_timirec.export.server.settings import ServerSettings


def listen(
    server: grpc.aio.Server, settings: ServerSettings, credentials: grpc.ServerCredentials | None
) -> int:
    """Makes a server listen.

    Args:
        server: Which has not started.
        settings: Host and port.
        credentials: For TLS; None is plain text.

    Returns:
        The port.

    Raises:
        UserError: If the address cannot be listened on.
    """
    address = f"{bracketed(settings.host)}:{settings.port}"
    try:
        if credentials:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError:
        raise UserError(
            f"{address} cannot be listened on: if the port is taken, name another."
        ) from None


def bracketed(host: str) -> str:
    """A host as it stands before a port: an address of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def serve_metrics(settings: ServerSettings) -> None:
    """Serves the metrics in a thread of its own.

    Args:
        settings: Their host and port.

    Raises:
        UserError: If the address cannot be listened on.
    """
    try:
        prometheus_client.start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        raise UserError(
            f"The metrics cannot be served on {settings.metrics_host}:{settings.metrics_port}: "
            f"{error.strerror}. Choose another --metrics_port or --metrics_host."
        ) from None


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    """The server's side of TLS.

    Args:
        settings: The files.

    Returns:
        None without a certificate.

    Raises:
        UserError: If a file is missing, cannot be read, or is not what it should be.
    """
    if (settings.certificate is None) != (settings.key is None):
        raise UserError("TLS needs both --certificate and --key.")
    if settings.client_certificates and not settings.certificate:
        raise UserError("--client_certificates needs --certificate and --key.")
    if not settings.certificate:
        return None
    for path in filter(None, (settings.certificate, settings.client_certificates)):
        _check_certificates(path)
    key = _read(settings.key)
    try:
        # An encrypted key would be asked a password for.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.certificate, settings.key, password=""
        )
    except (ssl.SSLError, ValueError):
        raise UserError(
            f"{settings.key} is not the private key of {settings.certificate}: give the PEM file "
            f"of that key, without a password."
        ) from None
    authorities = settings.client_certificates and _read(settings.client_certificates)
    return grpc.ssl_server_credentials(
        [(key, _read(settings.certificate))],
        authorities,
        require_client_auth=authorities is not None,
    )


def _check_certificates(path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=_read(path).decode())
    except (ssl.SSLError, ValueError):
        raise UserError(f"{path} is no certificate: give a PEM file.") from None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
