"""Finds what items are called by that go by names, and makes those that nobody has. Remembers names for one run."""

from collections import defaultdict

import anyio

from encord_async.errors import ConflictError, EncordError, ExistsError, ReplyShapeError, UncertainError
from encord_async.kinds.names import Names
from encord_async.session.session import Session
from encord_async.session.stop import Stop

__all__ = ["Directory"]


class Directory:
    """The identifiers of names. All are listed once, and again when one may have come that nobody knew."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: defaultdict[Names, dict[str, str]] = defaultdict(dict)
        # One at a time: two that need the same new name must not both make it.
        self._lock = anyio.Lock()

    async def find(self, names: Names, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The identifiers of those of *wanted* that there are; raises as `Session.execute`."""
        async with self._lock:
            known = await self._listed(names)
        return tuple(known[name] for name in wanted if name in known)

    async def get(self, names: Names, wanted: tuple[str, ...], stop: Stop) -> tuple[str, ...]:
        """The identifiers of *wanted*, of which those are made that nobody has.

        Raises:
            EncordError: As `Session.execute`.
            ConflictError: A name is taken, and not by anything that the service lists.
            ReplyShapeError: The service answers with another.
        """
        async with self._lock:
            known = await self._listed(names)
            for name in wanted:
                if name not in known:
                    await self._make(names, name, stop)
            return tuple(known[name] for name in wanted)

    async def _listed(self, names: Names, *, again: bool = False) -> dict[str, str]:
        known = self._known[names]
        if again or not known:
            async for page in self._session.pages(names.listing()):
                known.update(names.read(one) for one in page.results)
        return known

    async def _make(self, names: Names, name: str, stop: Stop) -> None:
        """Make *name*. Whether an answer was lost does not matter: nobody can be given it twice."""
        known, operation = self._known[names], names.making(name)
        failure: EncordError = ReplyShapeError(f"the service succeeded, but made nothing that is called {name!r}")
        for _ in range(self._session.settings.retry.max_attempts):
            try:
                known.update([names.read(await self._session.execute(operation, stop=stop))])
            except ExistsError as error:
                failure = ConflictError(f"the name {name!r} is taken, and not listed", code=error.code)
            except UncertainError as error:
                failure = error
            if name not in known:
                await self._listed(names, again=True)
            if name in known:
                return
            if isinstance(failure, ConflictError):
                break
        raise failure
