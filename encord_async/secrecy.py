"""How secrets are carried: wrapped up from the door on, and out of sight of whoever looks at an error.

Programs that report errors read more than messages: the ``repr`` of every local variable of every frame, and the same
of each error that another was raised from. `Secret` has nothing to show there, `sealed` is for functions that are given
secrets by their caller, `conceal` for places beyond which other libraries handle them. Nothing here reads or stores a
secret.
"""

import functools
import traceback
from collections.abc import Callable
from typing import Generic, NoReturn, ParamSpec, Protocol, TypeAlias, TypeVar

from encord_async.errors import EncordError

__all__ = ["Opaque", "Secret", "SecretText", "conceal", "sealed", "wrapped"]

P = ParamSpec("P")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)


class Opaque:
    """Refuses to be copied out of the process."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret and cannot be pickled or copied")


class Secret(Opaque, Generic[T_co]):
    """A value that is seen by nobody who does not ask for it.

    It is no attribute either, so that a debugger which goes through those does not come upon it.
    """

    __slots__ = ("reveal",)

    def __init__(self, value: T_co) -> None:
        self.reveal: Callable[[], T_co] = lambda: value
        """Gives the value. Use it in an expression: what is put into a variable can be seen there."""

    def __repr__(self) -> str:
        return "Secret(...)"


class _RevealsItself(Protocol):
    """As pydantic's ``SecretStr`` does."""

    def get_secret_value(self) -> str: ...


SecretText: TypeAlias = str | Secret[str] | _RevealsItself
"""A secret as callers have it: the text itself, pydantic's ``SecretStr``, or a `Secret`."""


def wrapped(secret: SecretText) -> Secret[str]:
    """*secret* as everything inside carries it."""
    if isinstance(secret, Secret):
        return secret
    return Secret(secret if isinstance(secret, str) else secret.get_secret_value())


def conceal(error: BaseException) -> None:
    """Let no local variable below be seen in *error*, in the ``except`` that caught it and before the ``raise``.

    An error of ours says all in its message, and what it was raised from is taken off it: others quote what they were
    given. Of any other error the lines and the causes stay.
    """
    if isinstance(error, EncordError):
        error.__cause__ = error.__context__ = None
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            todo += [one.__cause__, one.__context__]


def sealed(function: Callable[P, R]) -> Callable[P, R]:
    """For functions that are given secrets: an error shows nothing of what they were given and made of it."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            del args, kwargs
            conceal(error)
            raise

    return called
