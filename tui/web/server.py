"""textual-serve's server, made to end its chats with itself and to let no other page in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp_jinja2 import render_template
from textual_serve.server import Server

from .serving import is_loopback, same_origin

ENDING = 4.0  # seconds that chats have to end: an engine that hangs takes 2 of them
# The page loads nothing from elsewhere, and no other page holds it in a frame.
POLICY = "; ".join(
    (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:",
        "connect-src 'self' ws: wss:",
        "frame-ancestors 'none'",
    )
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebServer(Server):
    """A chat of its own for each page that is open."""

    def __init__(self, command: str, host: str, port: int, ready: Callable[[], None]) -> None:
        super().__init__(command, host, port, "tokenhud")
        self._ready = ready
        self._open: set[asyncio.Task[Any]] = set()

    def serve(self, debug: bool = False) -> None:  # noqa: ARG002
        """Until an interrupt; raises OSError where the port cannot be had."""
        web.run_app(
            self._make_app(),
            host=self.host,
            port=self.port,
            print=lambda *_: self._ready(),
            shutdown_timeout=ENDING,
        )

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guarded())
        return app

    def _guarded(self) -> Any:
        here = is_loopback(self.host)

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            """A name that was led here from elsewhere is refused where only this machine is
            meant, and so is any other page's script."""
            named = urlsplit(f"//{request.host}").hostname or ""
            strange = here and not is_loopback(named)
            if strange or not same_origin(request.host, request.headers.get("Origin")):
                raise web.HTTPForbidden(text="This page may not open a chat here.")
            response = await handler(request)
            if not response.prepared:
                response.headers["Content-Security-Policy"] = POLICY
            return response

        return guard

    async def on_startup(self, app: web.Application) -> None:
        pass  # instead of a logo

    async def on_shutdown(self, app: web.Application) -> None:  # noqa: ARG002
        for each in self._open:
            each.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=ENDING)

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """By the address that the browser used, which a tunnel may have changed."""
        size = request.query.get("fontsize", "")
        about = {
            "font_size": int(size) if size.isdecimal() else 16,
            "app_websocket_url": f"ws://{request.host}/ws",
            "config": {"static": {"url": "/static/"}},
            "application": {"name": self.title},
        }
        return render_template("app_index.html", request, about)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            return await super().handle_websocket(request)
        finally:
            self._open.discard(task)
