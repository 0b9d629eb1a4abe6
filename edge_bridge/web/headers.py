"""The headers of every answer: nothing is loaded from elsewhere, framed elsewhere, or guessed at."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

# Vue compiles templates in the browser ('unsafe-eval'), and NiceGUI writes a page's elements as a script and its styles
# as attributes ('unsafe-inline'). What remains: no script, style, picture or connection of another origin.
POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
_ALWAYS: Final = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"SAMEORIGIN",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"content-security-policy": POLICY.encode(),
}


def with_security_headers(send: Send) -> Send:
    """A `send` that adds them to each answer, where it has none of its own."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            there = {name.lower() for name, _ in headers}
            message = {
                **message,
                "headers": headers + [pair for pair in _ALWAYS.items() if pair[0] not in there],
            }
        await send(message)

    return sent
