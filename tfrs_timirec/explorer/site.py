"""The explorer's web server: static files, and a way through to a server of TF-Serving's REST."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tfrs_timirec.errors import UserError

PAGE = Path(__file__).parent / "static"
HOST = "127.0.0.1"
# The page asks no other host, and shows itself in no other page.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_TIMEOUT = urllib3.Timeout(connect=2, read=30)


def model_url(server: str, model: str) -> str:
    """Where a model is on a server.

    Args:
        server: The server's URL, or that of a model on it (`…/v1/models/NAME`).
        model: The model's name, where the URL has none.

    Raises:
        UserError: If it is no URL of a web server.
    """
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(
            f"The server {server} is no URL: give one such as http://127.0.0.1:8501, or "
            "http://127.0.0.1:8501/v1/models/NAME."
        )
    url = server.rstrip("/")
    return url if "/v1/models/" in parts.path else f"{url}/v1/models/{model}"


def site(data: Path, model: str, url: str) -> Starlette:
    """The page, what it reads, and the model's REST, all from one origin.

    So a server needs to allow no other origin, and the page asks no other host.

    Args:
        data: The folder of what the page reads.
        model: The name that the page knows the model by.
        url: Where the model is, as `model_url` tells.
    """
    pool = urllib3.PoolManager(maxsize=8, retries=False)

    def ask(request: Request, body: bytes) -> Response:
        target = url + request.path_params["rest"]
        headers = {"Content-Type": "application/json"}
        try:
            answer = pool.request(
                request.method, target, body=body, headers=headers, redirect=False, timeout=_TIMEOUT
            )
        except urllib3.exceptions.HTTPError:
            return JSONResponse({"error": f"{url} does not answer."}, 502)
        return Response(answer.data, answer.status, media_type="application/json")

    async def through(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(ask, request, await request.body())

    return Starlette(
        routes=[
            Route(f"/v1/models/{model}{{rest:path}}", through, methods=["GET", "POST"]),
            Mount("/data", StaticFiles(directory=data)),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        # Of another site that has its name point to this machine, a browser tells the name.
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
            Middleware(BaseHTTPMiddleware, dispatch=_with_headers),
        ],
    )


async def _with_headers(
    request: Request, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await answer(request)
    response.headers.update(_HEADERS)
    return response
