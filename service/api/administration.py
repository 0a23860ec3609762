"""Changes of the served models by an operator, the same for all dialects: who may make them, and what they do."""

from starlette.types import Scope

from service.errors import NotSupported
from service.http.auth import Authenticator
from service.models.repository import ModelRepository
from service.models.served_model import ServedModel


class ModelAdministration:
    """Loads and unloads models for callers with an admin key."""

    def __init__(self, authenticator: Authenticator, repository: ModelRepository | None) -> None:
        """Without a repository, the models stay as they are."""
        self._authenticator, self._repository = authenticator, repository

    async def load(self, scope: Scope, name: str) -> ServedModel:
        """Load new and changed versions of a model, NAME or NAME@VERSION; return the newest.

        Raises:
            Forbidden, Unauthorised: the caller has no admin key.
            UnknownModel: there is no artifact of this name.
            NotLoaded: the artifact is faulty.
        """
        return await self._changeable(scope).load(name)

    async def unload(self, scope: Scope, name: str) -> None:
        """Serve a model no longer: all versions of NAME, or NAME@VERSION.

        Raises:
            Forbidden, Unauthorised: the caller has no admin key.
            UnknownModel: no such model is served.
        """
        await self._changeable(scope).unload(name)

    def check(self, scope: Scope) -> None:
        """Check that the caller may change models, before anything else of the request is looked at.

        Raises:
            Forbidden, Unauthorised: the caller has no admin key.
        """
        self._authenticator.check_admin(scope)

    def _changeable(self, scope: Scope) -> ModelRepository:
        self.check(scope)
        if self._repository is None:
            raise NotSupported("the models of this service cannot be changed while it runs; restart it")
        return self._repository
