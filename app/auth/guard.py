"""What every answer of the server says to the browser beside its content, and which of Streamlit's doors stay shut."""

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# For a page's own scripts, styles, pictures and fonts, and for nothing from elsewhere: should a name ever be drawn as
# more than text, it still reaches no other host. Vega compiles expressions, hence eval.
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

# Figures of the process, and ways for programs to press buttons: nobody here asks for either.
SHUT = ("/_stcore/metrics", "/_stcore/agent", "/_stcore/script-health-check")


class Guard:
    """ASGI middleware that shuts the doors and adds the headers."""

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

        # A proxy may have put the dashboard below a path of its own.
        if any(door in scope["path"] for door in SHUT):
            await PlainTextResponse("not served here", status_code=404)(scope, receive, sending)
            return
        await self.app(scope, receive, sending)
