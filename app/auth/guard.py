"""The security headers of every answer of the server, and the addresses of Streamlit that it does not serve."""

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A page may load its own scripts, styles, pictures and fonts, and nothing from other hosts: even if a study's name were
# interpreted as HTML, it could not send anything away. Vega compiles expressions, which needs eval.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' ws: wss: data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    # An address may carry the token of a link.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}

# These report on the process and let programs press buttons, which the dashboard does not use.
BLOCKED = ("/_stcore/metrics", "/_stcore/agent", "/_stcore/script-health-check")


class Guard:
    """ASGI middleware that blocks addresses and adds headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        # Behind a proxy, the paths of the dashboard may begin with a prefix.
        if any(address in scope["path"] for address in BLOCKED):
            await PlainTextResponse("not served here", status_code=404)(scope, receive, sending)
            return
        await self.app(scope, receive, sending)
