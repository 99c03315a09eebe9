"""How secrets are carried, and what an error lets nobody see."""

import copy
import pickle
import traceback

import pytest
from pydantic import SecretStr

from encord_async.errors import NotFoundError, UsageError
from encord_async.secrecy import Secret, conceal, sealed, wrapped

CANARY = "canary-0123456789"


def test_a_secret_shows_nothing() -> None:
    """Neither words nor attributes give it away; only asking does."""
    secret = Secret(CANARY)
    seen = [f"{secret} {secret!r} {secret:}", *(repr(getattr(secret, name, "")) for name in dir(secret))]
    assert not [text for text in seen if CANARY in text]
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == CANARY


def test_a_secret_does_not_leave_the_process() -> None:
    """It cannot be pickled or copied."""
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="Secret holds a secret and cannot be pickled or copied"):
            leave(Secret(CANARY))


def test_all_that_callers_have_is_wrapped() -> None:
    """A text, pydantic's secret and a wrapped one are the same."""
    assert {wrapped(given).reveal() for given in (CANARY, SecretStr(CANARY), Secret(CANARY))} == {CANARY}


@sealed
def refuse(token: str, *, as_bug: bool = False) -> None:
    """Fails deep down, on the way from another failure, with the token at hand."""
    try:
        int(token)
    except ValueError as error:
        raise (KeyError("a bug") if as_bug else UsageError("no number")) from error


def frames_of(error: BaseException) -> str:
    """The local variables of all frames but this test's."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name != "test"]
    return repr([frame.f_locals for frame in frames if not frame.f_code.co_name.startswith("test_")])


def test_an_error_from_a_sealed_function_is_alone() -> None:
    """Neither what it was given, nor what it was about, hangs on an error of ours; where it was raised still does."""
    with pytest.raises(UsageError) as caught:
        refuse(CANARY)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert CANARY not in frames_of(caught.value)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "refuse"


def test_a_bug_in_a_sealed_function_can_be_found() -> None:
    """The lines and the cause of an error that is not ours stay; local variables do not."""
    with pytest.raises(KeyError) as caught:
        refuse(CANARY, as_bug=True)
    assert isinstance(caught.value.__cause__, ValueError)
    assert CANARY not in frames_of(caught.value) + frames_of(caught.value.__cause__)


def test_errors_that_lead_to_each_other_are_concealed() -> None:
    """A ring of causes has an end."""
    one, other = NotFoundError("one"), ValueError("other")
    other.__context__, one.__cause__ = one, other
    conceal(other)
    conceal(one)
    assert one.__cause__ is None
