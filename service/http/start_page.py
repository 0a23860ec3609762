"""The page at `/`: translate, classify and watch the service in a browser, without anything from another host.

Users type texts and API keys into it, so its policy allows the page's own scripts, styles and icon, requests to this
service, and nothing else; with trusted types, Chromium refuses every script that would turn text into HTML.
"""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response

FOLDER = Path(__file__).with_name("static") / "page"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
LIVE_PATH = "/metrics/live"  # what happens in the service; below /metrics, so that a proxy may block both
PAGE = "index.html"  # served at `/`, the other files below /page/
ASSETS = {f"/page/{file.name}": file for file in sorted(FOLDER.iterdir()) if file.name != PAGE}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def page_router() -> APIRouter:
    """Return the routes of the page and of its files."""
    router = APIRouter(include_in_schema=False)
    _add_file(router, "/", FOLDER / PAGE)
    for path, file in ASSETS.items():
        _add_file(router, path, file)
    return router


def _add_file(router: APIRouter, path: str, file: Path) -> None:
    """Serve a file from memory. A browser asks each time whether its copy is still good, so an update is whole."""
    content = file.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"Cache-Control": "no-cache", "ETag": tag}
    if file.name == PAGE:
        headers["Content-Security-Policy"] = POLICY

    @router.get(path)
    async def page_file(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=MEDIA_TYPES[file.suffix], headers=headers)
