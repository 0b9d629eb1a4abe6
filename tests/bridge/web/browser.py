"""A real Chromium, driven by playwright."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
DESKTOP, PHONE = {"width": 1360, "height": 900}, {"width": 390, "height": 844}


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """One browser; ends with the context."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def open_page(
    browser: Browser, url: str, *, phone: bool = False, dark: bool = False, cookies: Sequence[Any] = ()
) -> tuple[Page, list[str]]:
    """A page that has connected back to the server, and a list that every request and error is noted in."""
    context = browser.new_context(
        viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]  # a TypedDict by another name
        color_scheme="dark" if dark else "light",
        timezone_id="UTC",
        locale="en-GB",
    )
    if cookies:
        context.add_cookies(cookies)  # type: ignore[arg-type]  # as `context.cookies` gave them
    page, noted = context.new_page(), []
    page.on("request", lambda request: noted.append(request.url))
    page.on("pageerror", lambda error: noted.append(f"error: {error}"))
    page.goto(url)
    page.wait_for_function("() => window.socket && window.socket.connected")
    return page, noted
