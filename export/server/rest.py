"""TF-Serving's REST protocol: JSON over HTTP, answered by the services that answer gRPC."""

import asyncio
import contextlib
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator

import grpc
import uvicorn
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from tfrs_timirec.errors import UserError
from tfrs_timirec.export.saved import LARGEST_VERSION
from tfrs_timirec.export.server.draining import Door
from tfrs_timirec.export.server.errors import RequestError, exhausted, invalid, not_found
from tfrs_timirec.export.server.json_tensors import read_request, write_response
from tfrs_timirec.export.server.listening import bracketed
from tfrs_timirec.export.server.requests import REQUEST_ID
from tfrs_timirec.export.server.service import ModelService, PredictionService
from tfrs_timirec.export.server.settings import ServerSettings

# As TF-Serving has it; what is not named is 500.
HTTP_STATUS = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
# Connections that wait to be let in.
BACKLOG = 1024
# Longer than the minute after which proxies usually close a connection that rests: one that the
# server closes may be asked at that moment.
KEEP_ALIVE_SECONDS = 75
ALL_FIELDS = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}


class Context:
    """What the services ask a gRPC context for, of an HTTP request.

    Args:
        request: The HTTP request.

    Attributes:
        headers: Of the answer.
    """

    def __init__(self, request: Request):
        self._headers = request.headers
        self.headers: dict[str, str] = {}

    def invocation_metadata(self) -> list[tuple[str, str]]:
        """The request's id, if it has one."""
        return [(REQUEST_ID, self._headers[REQUEST_ID])] if REQUEST_ID in self._headers else []

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        """Makes headers of it."""
        self.headers.update(metadata)

    def time_remaining(self) -> None:
        """HTTP knows no deadline."""

    async def abort(self, code: grpc.StatusCode, message: str) -> None:
        """Ends the request with a status.

        Raises:
            RequestError: Always.
        """
        raise RequestError(code, message)


class Rest:
    """Answers Predict, GetModelStatus and GetModelMetadata over HTTP.

    Args:
        prediction: The service of the first and the last.
        models: The service of the second.
        door: Where requests come in.
        settings: What bounds the requests, and the origins of pages that may ask.
    """

    def __init__(
        self,
        prediction: PredictionService,
        models: ModelService,
        door: Door,
        settings: ServerSettings,
    ):
        self._prediction, self._models = prediction, models
        self._door, self._settings = door, settings
        self._open = 0
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task | None = None

    def listen(self) -> str:
        """Begins to answer.

        Returns:
            The URL.

        Raises:
            UserError: If the address cannot be listened on.
        """
        settings = self._settings
        host, port = settings.host, settings.rest_port
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
            # Else the end of an answer waits for the client to acknowledge its beginning: asyncio
            # turns that off for the sockets alone that it makes itself.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise UserError(
                f"REST cannot be served on {host}:{port}: {error.strerror}. Choose another "
                f"--rest_port."
            ) from None
        authorities = settings.client_certificates
        config = uvicorn.Config(
            self._app(),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
            ssl_ca_certs=authorities,
            ssl_cert_reqs=ssl.CERT_REQUIRED if authorities else ssl.CERT_NONE,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        scheme = "https" if settings.certificate else "http"
        return f"{scheme}://{bracketed(host)}:{listening.getsockname()[1]}"

    def stop(self) -> None:
        """Lets nothing new in; what was received is still answered."""
        for listening in self._server.servers:
            listening.close()
        self._server.should_exit = True

    async def stopped(self, patience: float) -> None:
        """Waits until the last answers have left, some seconds at most."""
        await asyncio.wait([self._serving], timeout=patience)

    def _app(self) -> Starlette:
        model = "/v1/models/{name}"
        routes = []
        for version in ("", "/versions/{version}", "/labels/{label}"):
            routes += [
                Route(
                    f"{model}{version}:{{method}}", self._answer(self._predict), methods=["POST"]
                ),
                Route(f"{model}{version}/metadata", self._answer(self._metadata)),
                Route(f"{model}{version}", self._answer(self._status)),
            ]
        cors = Middleware(
            CORSMiddleware,
            allow_origins=self._settings.rest_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["content-type", REQUEST_ID],
            expose_headers=[REQUEST_ID],
        )
        return Starlette(
            routes=routes,
            middleware=[cors] if self._settings.rest_origins else [],
            exception_handlers={HTTPException: _no_such_page},
        )

    def _answer(self, answer: Callable) -> Callable:
        """An endpoint that is counted and held like a gRPC request, and tells errors in JSON."""

        async def endpoint(request: Request) -> Response:
            context = Context(request)
            try:
                async with self._let_in():
                    content, status = await answer(request, context), 200
            except RequestError as error:
                content, status = {"error": str(error)}, HTTP_STATUS.get(error.code, 500)
            if self._server.should_exit:
                context.headers["connection"] = "close"
            return _Json(content, status, context.headers)

        return endpoint

    @contextlib.asynccontextmanager
    async def _let_in(self) -> AsyncIterator[None]:
        if self._open >= self._settings.concurrent_requests:
            raise exhausted(f"{self._open} requests are open already: try again later.")
        self._open += 1
        try:
            async with self._door.passed():
                yield
        finally:
            self._open -= 1

    async def _predict(self, request: Request, context: Context) -> dict:
        if (method := request.path_params["method"]) != "predict":
            told = f"There is no method {method!r}, only predict."
            raise RequestError(grpc.StatusCode.UNIMPLEMENTED, told)
        body = await self._body(request)
        name = body.get("signature_name", "") if isinstance(body, dict) else ""
        asked = PredictRequest(model_spec=_spec(request))
        try:
            asked.model_spec.signature_name = name
        except (TypeError, UnicodeEncodeError):
            raise invalid("The signature_name must be a string of UTF-8.") from None
        by_row = False

        def fill(signature) -> None:
            nonlocal by_row
            by_row = read_request(body, signature, asked, self._settings)

        response = await self._prediction.Predict(asked, context, fill)
        return write_response(response, by_row)

    async def _status(self, request: Request, context: Context) -> dict:
        asked = GetModelStatusRequest(model_spec=_spec(request))
        found = await self._models.GetModelStatus(asked, context)
        for version in found.model_version_status:
            # TF-Serving tells of OK, too.
            version.status.SetInParent()
        return _as_dict(found)

    async def _metadata(self, request: Request, context: Context) -> dict:
        asked = GetModelMetadataRequest(model_spec=_spec(request), metadata_field=["signature_def"])
        response = await self._prediction.GetModelMetadata(asked, context)
        signatures = SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return {
            "model_spec": _as_dict(response.model_spec),
            "metadata": {"signature_def": _as_dict(signatures)},
        }

    async def _body(self, request: Request) -> object:
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                if len(body) > self._settings.message_bytes:
                    raise exhausted(
                        f"The body has more than {self._settings.message_bytes} bytes: ask for "
                        f"less."
                    )
        except ClientDisconnect:
            raise RequestError(grpc.StatusCode.CANCELLED, "The client has gone.") from None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise invalid("The body is not JSON in UTF-8, or too deeply nested.") from None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # They are the whole server's.
        yield


def _spec(request: Request) -> ModelSpec:
    asked = request.path_params
    spec = ModelSpec(name=asked["name"])
    if "label" in asked:
        spec.version_label = asked["label"]
    if "version" in asked:
        version = asked["version"]
        if not re.fullmatch("[0-9]{1,19}", version) or int(version) > LARGEST_VERSION:
            raise not_found(f"The model {spec.name} has no version {version}.")
        spec.version.value = int(version)
    return spec


def _as_dict(message: Message) -> dict:
    return MessageToDict(message, **ALL_FIELDS)


class _Json(JSONResponse):
    def render(self, content: object) -> bytes:
        # TF-Serving, too, writes NaN and Infinity, which JSON does not know.
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        # Half of a pair of surrogates, which UTF-8 does not know, as JSON writes it.
        return text.encode(errors="backslashreplace")


async def _no_such_page(request: Request, error: HTTPException) -> Response:
    told = f"Malformed request: {request.method} {request.url.path}"
    return _Json({"error": told}, error.status_code, error.headers)
