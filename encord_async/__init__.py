"""encord-async: the asynchronous bulk client for Encord. Everything public is in ``__all__``.

It is read when the first name is asked for: the command line imports this too, and its help, its completions and its
words for a mistyped option need none of them, nor the time that it takes.
"""

import typing

from encord_async import errors

if typing.TYPE_CHECKING:
    from encord_async import public
    from encord_async.errors import *  # noqa: F403 - all of them, and their list is there
    from encord_async.public import *  # noqa: F403 - as above

    __all__: list[str] = []
    __all__ += public.__all__
    # mypy does not follow one list into another.
    __all__ += errors.__all__
else:

    def __getattr__(name: str) -> object:
        # Whatever begins with a small letter is a module, for which Python asks before it imports it.
        if name != "__all__" and not name[:1].isupper():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        here = globals()
        if "__all__" not in here:
            from encord_async import public

            # What somebody has put in the place of a name, as tests do, stays: now and whenever one is asked for later.
            here |= {one: getattr(public, one) for one in public.__all__ if one not in here}
            here["__all__"] = public.__all__
        try:
            return here[name]
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})
