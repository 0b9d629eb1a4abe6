"""The page that asks for the password: plain HTML without a script, so that nothing is loaded before it is right."""

import asyncio
import html
import time
from typing import Final
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from edge_bridge.web.access import passwords, rules
from edge_bridge.web.access.attempts import Attempts
from edge_bridge.web.access.proxy import Request as Asked
from edge_bridge.web.access.sessions import COOKIE, Sessions

_LARGEST: Final = 8192
"""Bytes of a form; a password and a path are less."""
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Edgewise: log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>
:root { color-scheme: light dark; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f4f6f9; color: #1d2733;
  font: 16px/1.45 system-ui, Roboto, sans-serif; }
form { width: min(340px, calc(100vw - 72px)); background: #fff; border: 1px solid rgba(120,130,150,.2);
  border-radius: 14px; padding: 28px; display: grid; gap: 14px; }
h1 { font-size: 1.25rem; margin: 0; } p { margin: 0; } .wrong { color: #b3261e; }
input, button { font: inherit; padding: 10px 12px; border-radius: 8px; box-sizing: border-box; width: 100%; }
input { border: 1px solid #8893a1; background: transparent; color: inherit; }
button { border: 0; background: #2f6fe4; color: #fff; font-weight: 600; cursor: pointer; }
:focus-visible { outline: 3px solid #4f8cff; outline-offset: 2px; }
@media (prefers-color-scheme: dark) { body { background: #0e1319; color: #e3e8ef; }
  form { background: #161d26; border-color: rgba(140,150,170,.2); } .wrong { color: #ff8d86; } }
</style></head><body>
<form method="post" action="ACTION"><h1>Edgewise</h1>
<label for="password">Password of the dashboard</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
PROBLEM<button>Log in</button></form></body></html>
"""


def add(app: FastAPI, sessions: Sessions, password_hash: str, request_key: str) -> None:
    """Serve `/login` and `/logout`. `request_key`: where a scope holds what the proxies said."""
    attempts, one_at_a_time = Attempts(), asyncio.Lock()

    @app.get(rules.LOGIN)
    async def ask(request: Request) -> Response:
        return _page(request.scope[request_key], rules.local(request.query_params.get("next", "/")))

    @app.post(rules.LOGIN)
    async def check(request: Request) -> Response:
        asked: Asked = request.scope[request_key]
        given = _password(await _body(request))
        target = rules.local(request.query_params.get("next", "/"))
        wait = attempts.take(asked.address, time.monotonic())
        if wait:
            text = f"Too many tries: wait {wait:.0f} seconds."
            return _page(asked, target, text, 429, {"Retry-After": f"{wait:.0f}"})
        async with one_at_a_time:  # each takes 32 MB
            right = await asyncio.to_thread(passwords.matches, given, password_hash)
        if not right:
            return _page(asked, target, "This is not the password.", 401)
        attempts.forgive(asked.address)
        answer = RedirectResponse(asked.prefix + target, 303, {"Cache-Control": "no-store"})
        answer.set_cookie(
            COOKIE,
            sessions.issue(),
            max_age=sessions.seconds,
            path=asked.prefix or "/",
            secure=asked.secure,
            httponly=True,
            samesite="lax",  # else a link to a device, in a chat, would ask for the password again
        )
        return answer

    @app.post("/logout")
    async def leave(request: Request) -> Response:
        asked: Asked = request.scope[request_key]
        answer = RedirectResponse(f"{asked.prefix}{rules.LOGIN}", 303, {"Cache-Control": "no-store"})
        answer.delete_cookie(COOKIE, path=asked.prefix or "/")
        return answer


def _password(form: bytes) -> str:
    try:
        return parse_qs(form.decode("utf-8", "replace"), max_num_fields=8).get("password", [""])[0]
    except ValueError:  # more fields than it has
        return ""


async def _body(request: Request) -> bytes:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _LARGEST:
            return b""
    return data


def _page(
    asked: Asked, target: str, problem: str = "", status: int = 200, more: dict[str, str] | None = None
) -> Response:
    action = rules.login_address(asked.prefix, *target.partition("?")[::2])
    text = f'<p class="wrong" role="alert">{html.escape(problem)}</p>' if problem else ""
    page = _PAGE.replace("ACTION", html.escape(action)).replace("PROBLEM", text)
    return HTMLResponse(page, status, {**_HEADERS, **(more or {})})
