"""Text with ``{{ expressions }}`` to values, by Jinja in its sandbox. Pure: the same names give the same value.

It knows values only, no statements; it reads no file, draws no chance, and what it makes is never read as a template
again. Jinja is loaded when the first such text comes.
"""

import functools
import itertools
import math
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from encord_async.errors import MissingExtraError
from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import meant, shown, sort_of

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import SandboxedEnvironment

__all__ = [
    "MAX_CHARACTERS",
    "NAME",
    "Filling",
    "Prepared",
    "escaped",
    "is_template",
    "named_in",
    "plain",
    "prepare",
    "render",
]

NAME: Final = re.compile("[^\\W\\d]\\w*")
"""What may be the name of a variable."""

MAX_CHARACTERS: Final = 16 * 2**20
"""How much the expressions of one entry may make; a few of them could make more than any memory holds."""
_CHARACTERS_A_VALUE: Final = 8
_LARGEST_NUMBER: Final = 10_000
"""The largest number that a filter or a call is given: as a width, a larger one would fill the memory."""
_HELD: Final = 4096
"""Texts that are kept in a form that is quick to fill in."""
_STATEMENT: Final = "holds a statement, {% %}, and a manifest has values only"
_ESCAPE: Final = "for the characters themselves write {{ '{{' }} or {{ '{%' }}"
_NUMBER: Final = (int, float)
_WIDTHS: Final = re.compile(r"%(?:\([^)]*\))?[-#0 +]*([0-9]{1,18}|\*)?(?:\.([0-9]{1,18}|\*))?")
"""The widths in a text that ``%`` fills in."""

_NO_VALUE: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    # A constant that is no finite number stands in what Jinja compiles as a name.
    NameError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What expressions can raise that are good to read and have no value."""


class Filling:
    """One filling in of texts: what expressions may name, what was wrong so far, and how much more they may make."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.faults: list[Fault] = []
        self._left = MAX_CHARACTERS

    def take(self, characters: int) -> None:
        """Note that so much is made.

        Raises:
            ValueError: It is too much, all in all.
        """
        self._left -= characters
        if self._left < 0:
            raise ValueError(f"more than {MAX_CHARACTERS // 2**20} MiB would be made")


_Fill: TypeAlias = Callable[[Filling], object]
Prepared: TypeAlias = Callable[[dict[str, Any]], tuple[Any, list[Fault]]]


def is_template(value: object) -> bool:
    """Whether there is text in *value* that has to be filled in; names of fields are never."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, dict):
        return any(map(is_template, value.values()))
    return isinstance(value, list) and any(map(is_template, value))


def prepare(value: object) -> Prepared:
    """What fills in all texts in *value*, again and again.

    It gives the value for some names, and what is wrong with texts that cannot be filled in with these. Text that is
    one expression and nothing else becomes what that is worth, of whatever type; all else stays text.

    Args:
        value: As JSON has it.

    Raises:
        MissingExtraError: There is something to fill in, and Jinja is not installed.
    """
    part = _part(value, "")

    def prepared(names: dict[str, Any]) -> tuple[Any, list[Fault]]:
        filling = Filling(names)
        return (value if part is None else part(filling)), filling.faults

    return prepared


def render(value: object, filling: Filling) -> Any:
    """*value* with all its texts filled in; see `prepare`. What is wrong with them is with *filling* then."""
    part = _part(value, "")
    return value if part is None else part(filling)


def _part(value: object, path: str) -> _Fill | None:
    """What fills in the texts in *value*, which is at *path*; None if there is none to fill in."""
    items: Iterable[tuple[Any, object]]
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    elif isinstance(value, str) and is_template(value):
        return partial(_text, value, path, _compiled(value))
    else:
        return None
    found = [(name, _part(item, f"{path}.{name}" if path else str(name))) for name, item in items]
    parts = [(name, part) for name, part in found if part is not None]
    return partial(_whole, value, parts) if parts else None


def _text(text: str, path: str, fill: _Fill, filling: Filling) -> object:
    value = fill(filling)
    if isinstance(value, Fault):
        filling.faults.append(Fault(path, value.reason, value.hint))
        return text
    return value


def _whole(value: dict[Any, object] | list[object], parts: Sequence[tuple[Any, _Fill]], filling: Filling) -> object:
    filled: Any = value.copy()
    for name, part in parts:
        filled[name] = part(filling)
    return filled


def named_in(value: object) -> set[str]:
    """The variables that texts in *value* name; none of texts that cannot be read."""
    if isinstance(value, dict):
        return set().union(*map(named_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(named_in, value))
    if not (isinstance(value, str) and is_template(value)):
        return set()
    from jinja2 import TemplateError, meta

    try:
        return meta.find_undeclared_variables(_environment().parse(value))
    except (TemplateError, RecursionError, SyntaxError):
        return set()


def escaped(value: object) -> object:
    """*value* in which no text is a template, so that a manifest with it says just that."""
    if isinstance(value, str):
        return re.sub(r"\{[{%]", lambda found: "{{ '" + found[0] + "' }}", value)
    if isinstance(value, Mapping):
        return {name: escaped(item) for name, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list | tuple) else value


def plain(value: object, take: Callable[[int], None] = lambda _: None) -> Any:
    """*value* as JSON has it; *take* is told what each part of it takes, in characters.

    Raises:
        ValueError: It is nothing of the sort.
    """
    if isinstance(value, str):
        take(len(value))
        # Filters that write HTML or JSON give a text of a class of their own.
        return str.__str__(value)
    take(_CHARACTERS_A_VALUE)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("is worth a number that is not finite")
    if value is None or isinstance(value, _NUMBER):
        return value
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: plain(item, take) for name, item in value.items()}
    if isinstance(value, list | tuple | Iterator):
        return [plain(item, take) for item in value]
    raise ValueError(f"is worth {sort_of(value)}, which is no text, number, list or object")


def _unknown(message: str, names: dict[str, Any]) -> Fault:
    found = re.fullmatch("'(.+)' is undefined", message)
    if found is None:
        return Fault("", f"has no value: {message}")
    known = ", ".join(itertools.islice(names, 20)) or "none"
    return Fault("", f"names {shown(found[1])}, which is no variable here", meant(found[1], names) or f"known: {known}")


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


# ---------------------------------------------------------------------- Jinja


@functools.lru_cache(_HELD)
def _compiled(source: str) -> _Fill:
    """What fills in *source*: gives what it becomes, or the `Fault` in it.

    Raises:
        MissingExtraError: Jinja is not installed.
    """
    try:
        from jinja2 import TemplateSyntaxError, UndefinedError
        from jinja2.exceptions import TemplateError
    except ImportError as error:
        raise MissingExtraError(
            "a manifest with {{ expressions }} needs Jinja2: pip install 'encord-async[templates]'; " + _ESCAPE
        ) from error
    try:
        fill = _read(source)
    except TemplateSyntaxError as error:
        fault = Fault("", f"cannot be read as a template: {_lowered(error.message or '')}", _ESCAPE)
        return lambda _: fault
    except (RecursionError, SyntaxError):
        deep = Fault("", "holds an expression that is nested too deeply")
        return lambda _: deep

    def filled(filling: Filling) -> object:
        try:
            return fill(filling)
        except UndefinedError as error:
            return _unknown(str(error), filling.names)
        except _NO_VALUE as error:
            said = "" if isinstance(error, NameError) else _lowered(str(error))
            return Fault("", f"has no value: {said or 'it is too large'}")
        except TemplateError as error:
            return Fault("", f"has no value: {_lowered(str(error))}")

    return filled


def _read(source: str) -> _Fill:
    """What works out *source*.

    Raises:
        TemplateSyntaxError: It cannot be read, or has statements.
        RecursionError: It is nested too deeply; so is `SyntaxError`.
    """
    from jinja2 import TemplateSyntaxError, nodes

    environment = _environment()
    tree = environment.parse(source)
    if not all(isinstance(node, nodes.Output) for node in tree.body):
        raise TemplateSyntaxError(_STATEMENT, 1)
    parts = [part for node in tree.body if isinstance(node, nodes.Output) for part in node.nodes]
    if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData):
        return _value_of(parts[0], environment)
    template = environment.from_string(tree)

    def text(filling: Filling) -> str:
        made = []
        for part in template.root_render_func(template.new_context(filling.names, shared=True)):
            filling.take(len(part))
            made.append(part)
        return "".join(made)

    return text


def _value_of(expression: "nodes.Expr", environment: "SandboxedEnvironment") -> _Fill:
    """What works out *expression*, of whatever type; as Jinja's own `compile_expression` does."""
    from jinja2 import nodes

    if isinstance(expression, nodes.Name):
        # It is plain already, however long it is.
        return partial(_named, expression.name)
    assignment = nodes.Assign(nodes.Name("result", "store"), expression, lineno=1)
    template = environment.from_string(nodes.Template([assignment], lineno=1))

    def value(filling: Filling) -> object:
        context = template.new_context(filling.names, shared=True)
        for _ in template.root_render_func(context):
            pass
        found = context.vars["result"]
        # One that is undefined raises when it is looked at.
        return plain(str(found) if isinstance(found, environment.undefined) else found, filling.take)

    return value


def _named(name: str, filling: Filling) -> object:
    if name not in filling.names:
        return _unknown(f"'{name}' is undefined", filling.names)
    found = filling.names[name]
    filling.take(len(found) if isinstance(found, str) else _CHARACTERS_A_VALUE)
    return found


def _sandbox() -> "type[SandboxedEnvironment]":
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        """Jinja's sandbox, with members before methods, and bounds on what a few characters can make."""

        intercepted_binops = frozenset({"*", "**", "%"})

        def getattr(self, obj: Any, attribute: str) -> Any:
            """A member of an object comes before a method of Python's that is called the same."""
            return obj[attribute] if isinstance(obj, Mapping) and attribute in obj else super().getattr(obj, attribute)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "%" and isinstance(left, str):
                _refuse_wide(left, right if isinstance(right, tuple) else (right,))
            elif operator == "**" or not (isinstance(left, _NUMBER) and isinstance(right, _NUMBER)):
                _refuse_large((left, right))
            # What is made of a list again and again may be no longer than what is made at once.
            return _measured(super().call_binop(context, operator, left, right))

        def call(self, *args: Any, **kwargs: Any) -> Any:
            _refuse_large((*args[2:], *kwargs.values()))
            text = getattr(args[1], "__self__", None)
            if isinstance(text, str) and args[1].__name__ in {"format", "format_map"}:
                _refuse_wide_fields(text)
            elif isinstance(text, str) and args[1].__name__ == "replace":
                _refuse_long(text, *args[2:4])
            return super().call(*args, **kwargs)

        def wrap_str_format(self, value: Any) -> Any:
            """The method as the sandbox has it, which is called like the one that it takes the place of."""
            wrapped = super().wrap_str_format(value)
            if wrapped is not None:
                wrapped.__self__ = value.__self__  # type: ignore[attr-defined]  # a function takes any attribute
            return wrapped

    return Environment


@functools.cache
def _environment() -> "SandboxedEnvironment":
    from jinja2 import StrictUndefined

    environment = _sandbox()(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        # No template holds these: what looks like a comment stays text.
        comment_start_string="\ud800#",
        comment_end_string="#\ud800",
        finalize=_in_text,
        autoescape=False,
    )
    # It comes out another way the next time. Jinja's globals are not there: names are shared, not added to them.
    del environment.filters["random"]
    for name, look in (("format", _refuse_wide_filter), ("replace", _refuse_long)):
        environment.filters[name] = _after(look, environment.filters[name])
    for name, function in environment.filters.items():
        environment.filters[name] = _bounded(function)
    return environment


def _in_text(value: object) -> object:
    """A value among text, where only text and numbers make sense."""
    if type(value) in {str, int, float}:
        return value
    # One that is undefined raises when it is looked at.
    value = plain(str(value) if isinstance(value, _environment().undefined) else value)
    if value is None or isinstance(value, list | dict):
        raise ValueError(f"{sort_of(value)} cannot stand within text; 'join' and 'tojson' make text of lists")
    return value


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter *function*, which is given no large numbers."""
    # Jinja hands some of them its own state before the value.
    first = 2 if hasattr(function, "jinja_pass_arg") else 1

    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        _refuse_large((*args[first:], *kwargs.values()))
        return function(*args, **kwargs)

    return bounded


def _after(look: Callable[..., None], function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter *function*, after *look* has seen what it is given."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def looked_at(*args: Any, **kwargs: Any) -> Any:
        look(*args[first:], **kwargs)
        return function(*args, **kwargs)

    return looked_at


def _refuse_wide(text: str, values: Iterable[object]) -> None:
    """Refuse what ``%`` would fill *text* in with more blanks than are needed."""
    widths = [width for both in _WIDTHS.findall(text) for width in both if width]
    _refuse_large(int(width) for width in widths if width != "*")
    if "*" in widths:
        _refuse_large(values)


def _refuse_wide_filter(text: object, *values: object, **_: object) -> None:
    _refuse_wide(str(text), values)


def _refuse_wide_fields(text: str) -> None:
    """Refuse what `str.format` would fill *text* in with more blanks than are needed."""
    for _, _, spec, _ in string.Formatter().parse(text):
        if spec and "{" in spec:
            raise ValueError("a width that is itself filled in is not known before; write it down")
        _refuse_large(int(width) for width in re.findall("[0-9]{1,18}", spec or ""))


def _refuse_long(text: object, old: object = "", new: object = "", *_: object, **__: object) -> None:
    """Refuse what putting *new* for *old* in *text* would make, if that is too much."""
    whole, one, other = str(text), str(old), str(new)
    if len(whole) + whole.count(one) * len(other) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS // 2**20} MiB would be made")


def _measured(value: Any) -> Any:
    """*value*, if all that is in it is not too much."""
    if isinstance(value, list | tuple):
        plain(value, Filling({}).take)
    return value


def _refuse_large(values: Any) -> None:
    for value in values:
        if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
            raise ValueError(f"{shown(value)} is more than {_LARGEST_NUMBER:,}, the most that it may be given")
