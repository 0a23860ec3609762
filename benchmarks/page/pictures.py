"""Take the pictures of the page for README.md and docs/page.md, with the shipped models.

python -m benchmarks.page.pictures [--folder docs/images] [--pictures page batch]
python -m benchmarks.page.pictures --pictures views --folder /tmp/views

The second takes every view, on a desktop and on a phone, light and dark, to look at them after a change.
"""

import argparse
import io
import sys
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from benchmarks.page.browser import VIEWS, chromium, open_page, service, show

WIDTH, HEIGHT = 1120, 608
BATCH_WIDTH = 640
FRAMES = 40
FRAME_MILLISECONDS = 100
START_MILLISECONDS = 500  # until both workers have joined the picture
MAX_PICTURE, MAX_ANIMATION = 150_000, 100_000  # bytes
PICTURES = ["page", "batch"]  # in the documentation
CHARTED = "() => document.querySelector('.chart .line').getAttribute('d')?.includes('L')"
SCHEMES = {"": False, "-dark": True}


def picture(page: Page, selector: str | None = None) -> Image.Image:
    """Return what the page, or one of its elements, looks like."""
    data = page.locator(selector).screenshot() if selector else page.screenshot()
    return Image.open(io.BytesIO(data)).convert("RGB")


def save(path: Path, frames: list[Image.Image], limit: int) -> None:
    """Write a picture, or an animation of several, as WebP.

    Raises:
        SystemExit: the file is larger than the limit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = frames
    if others:
        first.save(
            path, lossless=True, quality=100, method=6, minimize_size=True, save_all=True, append_images=others,
            duration=FRAME_MILLISECONDS, loop=0,
        )  # fmt: skip
    else:
        first.save(path, quality=86, method=6)
    size = path.stat().st_size
    sys.stdout.write(f"{path}: {size / 1000:.0f} kB\n")
    if size > limit:
        sys.exit(f"error: {path} has {size} bytes; at most {limit} are allowed: take fewer or smaller pictures")


def take_translation(browser: Browser, url: str, dark: bool) -> Image.Image:
    """Return the view that translates, with the pointer at a word."""
    page = open_page(browser, dark, width=WIDTH, height=HEIGHT)
    for _ in range(2):  # the first time, everything is loaded
        show(page, url, "translate")
    page.locator(".word", has_text="großen").hover()
    page.locator("#mirror mark").wait_for()
    return picture(page)


def take_batch(browser: Browser, url: str, dark: bool) -> list[Image.Image]:
    """Return the frames of the running batch while 64 sentences are translated.

    The page's clock is stopped, and goes on from picture to picture: to take one takes longer than to show one.
    """
    page = open_page(browser, dark, width=BATCH_WIDTH, height=900)
    page.clock.install()
    page.goto(f"{url}/{VIEWS['live'][0]}")
    page.locator(".chart").first.wait_for()
    page.clock.pause_at(time.time() + 3600)
    page.click("#burst")
    page.locator("#burst-state", has_text=" in ").wait_for()
    page.clock.run_for(START_MILLISECONDS)
    return [frame(page) for _ in range(FRAMES)]


def take_views(browser: Browser, url: str, dark: bool, folder: Path) -> None:
    """Write a picture of each view to the folder, as a desktop and as a phone show it."""
    folder.mkdir(parents=True, exist_ok=True)
    for phone in (False, True):
        page = open_page(browser, dark, phone)
        for view in VIEWS:
            show(page, url, view)
            if view == "live":
                page.wait_for_function(CHARTED)
            name = f"{view}{'-phone' if phone else ''}{'-dark' if dark else ''}.png"
            page.screenshot(path=folder / name, full_page=True)
        page.context.close()


def frame(page: Page) -> Image.Image:
    page.clock.run_for(FRAME_MILLISECONDS)
    return picture(page, "#batches")


def padded(frames: list[Image.Image]) -> list[Image.Image]:
    """Return the frames with the size of the largest; the picture grows when a second worker joins."""
    size = max(one.width for one in frames), max(one.height for one in frames)
    found = []
    for one in frames:
        whole = Image.new("RGB", size, one.getpixel((0, 0)))
        whole.paste(one)
        found.append(whole)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    parser.add_argument("--pictures", nargs="+", choices=[*PICTURES, "views"], default=PICTURES)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    with chromium() as browser, service() as (url, _):
        for ending, dark in SCHEMES.items():
            if "page" in arguments.pictures:
                save(folder / f"page{ending}.webp", [take_translation(browser, url, dark)], MAX_PICTURE)
            if "batch" in arguments.pictures:
                save(folder / f"batch{ending}.webp", padded(take_batch(browser, url, dark)), MAX_ANIMATION)
            if "views" in arguments.pictures:
                take_views(browser, url, dark, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
