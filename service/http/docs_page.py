"""The interactive documentation of the API: Swagger UI, served whole from here.

Users type their API keys into this page, so it loads nothing from another host and runs no script but Swagger UI's; it
works without access to the internet.
"""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

DOCS_PATH = "/docs"
OWN_FILES = Path(__file__).with_name("static")
SWAGGER_UI = Path(str(files("fastapi_swagger") / "resources"))  # the files of npm's swagger-ui-dist
ASSETS = {
    f"{DOCS_PATH}/swagger-ui-bundle.js": (SWAGGER_UI, "text/javascript"),
    f"{DOCS_PATH}/swagger-ui.css": (SWAGGER_UI, "text/css"),
    f"{DOCS_PATH}/favicon-32x32.png": (SWAGGER_UI, "image/png"),
    f"{DOCS_PATH}/start.js": (OWN_FILES, "text/javascript"),
}
# Swagger UI's style sheet has its pictures as data URLs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MAX_AGE_SECONDS = 3600  # in which a browser uses an asset without asking


def docs_router() -> APIRouter:
    """Return the routes of the page and of what it loads."""
    router = APIRouter(include_in_schema=False)

    @router.get(DOCS_PATH)
    async def page() -> FileResponse:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return FileResponse(OWN_FILES / "docs.html", media_type="text/html", headers=headers)

    for path, (folder, media_type) in ASSETS.items():
        _add_asset(router, path, folder, media_type)
    return router


def _add_asset(router: APIRouter, path: str, folder: Path, media_type: str) -> None:
    file = folder / path.rpartition("/")[2]

    @router.get(path)
    async def asset() -> FileResponse:
        return FileResponse(file, media_type=media_type, headers={"Cache-Control": f"max-age={MAX_AGE_SECONDS}"})
