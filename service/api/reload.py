"""What is read again while the service runs: API keys and rate limits, and the models folder."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path

from service.artifact import ArtifactError
from service.http.api_keys import ApiKeyError, read_api_keys
from service.http.auth import Authenticator
from service.models.repository import ModelRepository
from service.models.sources import ModelSources
from service.settings import Settings, SettingsError, read_settings

log = logging.getLogger("attendant")

RELOADED = frozenset({"keys", "key_file", "admin_keys", "requests_per_minute", "concurrent_requests"})


class Reloader:
    """Reloads when it is asked to, as by SIGHUP, and when the models folder has changed, if the settings say so.

    `reread` returns the settings as they are now.
    """

    def __init__(
        self,
        settings: Settings,
        authenticator: Authenticator,
        repository: ModelRepository,
        reread: Callable[[], Settings] = read_settings,
    ) -> None:
        self.repository = repository
        self._settings, self._authenticator, self._reread = settings, authenticator, reread
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin, in the event loop that answers requests."""
        self._loop = asyncio.get_running_loop()
        if self._settings.watch_seconds:
            self._run(self._watch())

    async def stop(self) -> None:
        """End what is being loaded and watched."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.repository.stop()

    def request(self) -> None:
        """Reload soon. A signal handler or another thread may call it; before the start it does nothing."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: self._run(self.reload()))

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def reload(self) -> None:
        """Reload everything; what cannot be read stays as it is, and the log says why."""
        log.info("reloading API keys, limits and models")
        self._reload_access()
        await self._reload_models()

    def _reload_access(self) -> None:
        try:
            settings = self._reread()
            keys = read_api_keys(settings)
        except (SettingsError, ApiKeyError) as error:
            log.error("API keys and limits stay as they are: %s", error)  # noqa: TRY400 -- says it all
            return
        self._authenticator.keys = keys
        self._authenticator.rate_limiter.set_limits(settings.requests_per_minute, settings.concurrent_requests)
        log.info("API keys: %s", ", ".join(sorted(keys.digests)) or "none; every caller is served")
        for name, value in settings:
            if name not in RELOADED and value != getattr(self._settings, name):
                log.warning("ATTENDANT_%s has changed; this takes effect when the service starts again", name.upper())

    async def _reload_models(self) -> None:
        try:
            await self.repository.reload()
        except ArtifactError as error:
            log.error("the served models stay: %s", error)  # noqa: TRY400 -- says it all

    async def _watch(self) -> None:
        """Reload the models when the folder has changed, and has not changed further by the next look.

        The first time without a known change: there may have been one since the models were loaded.
        """
        folders = ModelSources(str(self._settings.models), self._settings.cache).folders
        known, seen = None, await asyncio.to_thread(files_in, folders)
        while True:
            await asyncio.sleep(self._settings.watch_seconds)
            now = await asyncio.to_thread(files_in, folders)
            if now == seen and now != known:
                known = now
                await self._reload_models()
            seen = now


def files_in(folders: Iterable[Path]) -> frozenset[tuple[str, int, int]]:
    """Return the files in the artifact folders of these, with their sizes and times of change."""
    found = set()
    for path in (path for folder in folders for path in folder.glob("[!.]*/*")):
        try:
            status = path.stat()
        except OSError:  # removed meanwhile
            continue
        found.add((str(path), status.st_size, status.st_mtime_ns))
    return frozenset(found)
