"""YAML to plain values: a list of entries, or a mapping of what is said of all of them and the entries. Reads a stream.

Each entry is given as soon as its last line is read. YAML never makes an object that is not plain data.
"""

import codecs
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

from encord_async.errors import MissingExtraError
from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import meant, shown
from encord_async.manifest.lines import Unreadable, without_mark
from encord_async.manifest.place import PARTS, Raw
from encord_async.manifest.reading import field_path

if TYPE_CHECKING:
    import yaml

__all__ = ["raw_yaml", "yaml_value"]

MAX_YAML_BYTES: Final = 64 * 2**20
"""The largest YAML manifest: one entry may be as long as the file, and longer ones are better off as JSONL."""

MAX_YAML_DEPTH: Final = 32
"""How deep YAML may be nested; an entry needs four levels."""

MAX_ALIASED_BYTES: Final = MAX_YAML_BYTES
"""How long all that the aliases of a YAML file stand for may be, written out; a few lines of them can stand for more
than any memory holds."""

_BYTES_A_VALUE: Final = 8
"""What a value takes written out beside its text: its place in the line, quotes, comma."""

_ENTRIES: Final = "entries"
_BEGIN: Final = "begin each entry with '- '"

_NO_YAML_CHARACTER: Final = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def raw_yaml(stream: BinaryIO, source: str) -> Iterator[Raw]:
    """What a manifest holds, in its order; the line of each is its first one.

    Raises:
        Unreadable: It cannot be read on.
        MissingExtraError: PyYAML is not installed.
    """
    return iter(_reader(stream, source))


def yaml_value(stream: BinaryIO, source: str) -> tuple[object, list[Fault]]:
    """The one value in a file, and what is wrong with it. Raises as `raw_yaml`."""
    return _reader(stream, source).value()


def _reader(stream: BinaryIO, source: str) -> "_YAMLItems":
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("YAML manifests need PyYAML: pip install 'encord-async[cli]'") from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return _YAMLItems(_events(stream, source, loader))


def _events(stream: BinaryIO, source: str, loader: "type[yaml.SafeLoader]") -> Iterator["yaml.Event"]:
    import yaml

    try:
        yield from yaml.parse(_YAMLText(stream, source), Loader=loader)
    except yaml.YAMLError as error:
        raise _yaml_fault(error) from error


_YAML_HINTS: Final = {
    "cannot start any token": "; put what begins with '@', '`' or '%' in quotes, and indent with blanks, not tabs",
    "found a tab": "; indent with blanks, not tabs",
    "while parsing a flow mapping": "; put a value that holds braces, such as '{{ x }}', in quotes",
}
"""What to do about what the parser says, by words of it."""


def _yaml_fault(error: "yaml.YAMLError") -> Unreadable:
    """What the parser complains about, in one line."""
    found, began = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    # What is not closed is missed at the end of the file, or wherever something does not fit in it.
    context, problem = str(getattr(error, "context", None) or ""), str(getattr(error, "problem", None) or "")
    is_open = context.startswith(("while scanning a quoted", "while scanning a simple", "while parsing a flow"))
    mark = (began if is_open else None) or found or began
    what = ", ".join(part for part in (context, problem) if part) or "it cannot be parsed"
    hint = next((hint for words, hint in _YAML_HINTS.items() if words in f"{context}, {problem}"), "")
    return Unreadable(mark.line + 1 if mark else 1, f"is not YAML: {what}; nothing after it was read{hint}")


def _line_of(event: "yaml.Event") -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _YAMLText:
    """The text of a stream for a parser: UTF-8, at most `MAX_YAML_BYTES`, and only characters that YAML knows."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self._stream = stream
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._size_bytes = 0
        self._line = 1

    def read(self, size: int = 4096, /) -> str:
        """The next characters; none at the end.

        Raises:
            Unreadable: What comes next is no text, or too much of it.
        """
        text = ""
        while not text:
            data = self._stream.read(size)
            if not self._size_bytes:
                data = without_mark(data, self._source)
            self._size_bytes += len(data)
            if self._size_bytes > MAX_YAML_BYTES:
                raise Unreadable(self._line, f"is beyond the first {MAX_YAML_BYTES // 2**20} MiB of YAML", "use JSONL")
            text = self._decode(data)
            if not data:
                break
        odd = _NO_YAML_CHARACTER.search(text)
        if odd:
            line = self._line + text.count("\n", 0, odd.start())
            raise Unreadable(line, f"holds the character U+{ord(odd[0]):04X}, which YAML does not have")
        self._line += text.count("\n")
        return text

    def _decode(self, data: bytes) -> str:
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            # Its bytes may begin with what was kept of the ones before, which holds no line break.
            line = self._line + error.object.count(b"\n", 0, error.start)
            raise Unreadable(line, "is not UTF-8", "save the file as UTF-8") from error


class _YAMLItems:
    """Iterates over what a YAML manifest holds.

    Values are made of the parser's events, not of its nodes: an alias then gives the same object again and a merge a
    dictionary of what is in it, so that aliases of aliases take no room.
    """

    def __init__(self, events: Iterator["yaml.Event"]) -> None:
        import yaml

        self._events = events
        self._resolver = yaml.resolver.Resolver()
        self._anchors: dict[str, tuple[object, int]] = {}
        self._size_bytes = 0
        """Of all values so far, written out."""
        self._aliased_bytes = 0
        self._faults: list[Fault] = []

    def __iter__(self) -> Iterator[Raw]:
        import yaml

        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
            elif isinstance(event, yaml.SequenceStartEvent):
                yield from self._list()
            elif isinstance(event, yaml.MappingStartEvent):
                yield from self._whole(_line_of(event))
            elif isinstance(event, yaml.NodeEvent) and not self._is_empty(event):
                raise Unreadable(_line_of(event), "must be a list of entries", _BEGIN)

    def value(self) -> tuple[object, list[Fault]]:
        """The value of the first document, which is none of a file that holds nothing."""
        import yaml

        value: object = None
        for event in self._events:
            if isinstance(event, yaml.NodeEvent):
                value = self._value(event, ())
            elif isinstance(event, yaml.DocumentEndEvent):
                break
        return value, self._faults

    def _is_empty(self, event: "yaml.NodeEvent") -> bool:
        import yaml

        return isinstance(event, yaml.ScalarEvent) and self._scalar(event, ()) is None

    def _list(self) -> Iterator[Raw]:
        import yaml

        for event in self._until(yaml.SequenceEndEvent):
            self._faults = []
            line = _line_of(event)
            value = self._value(event, ())
            yield Raw(line, value, self._faults)

    def _whole(self, line: int) -> Iterator[Raw]:
        """A mapping, which begins at *line*: what is said of all entries, and the entries."""
        import yaml

        seen: set[str] = set()
        for event in self._until(yaml.MappingEndEvent):
            name, at = getattr(event, "value", ""), _line_of(event)
            if name in seen:
                raise Unreadable(at, f"{shown(name)} is given twice in one object")
            seen.add(name)
            value_event = next(self._events)
            if name == _ENTRIES and isinstance(value_event, yaml.SequenceStartEvent):
                yield from self._list()
            elif name == _ENTRIES and not (isinstance(value_event, yaml.NodeEvent) and self._is_empty(value_event)):
                raise Unreadable(_line_of(value_event), "must be a list of entries", _BEGIN)
            elif name in PARTS:
                self._faults = []
                yield Raw(at, self._value(value_event, (name,)), self._faults, part=name)
            elif name != _ENTRIES:
                if name == "kind":
                    raise Unreadable(line, "must be a list of entries", _BEGIN)
                known = (*PARTS, _ENTRIES)
                hint = meant(name, known) or f"it has {', '.join(known)}"
                raise Unreadable(at, f"{shown(name)} is no part of a manifest", hint)

    def _value(self, event: "yaml.Event", path: tuple[str, ...]) -> object:
        """The value that begins with *event*, at *path* in its entry; takes the events up to its end."""
        import yaml

        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if len(path) > MAX_YAML_DEPTH:
            raise Unreadable(_line_of(event), f"is nested deeper than {MAX_YAML_DEPTH} levels")
        before_bytes = self._size_bytes
        self._size_bytes += _BYTES_A_VALUE
        value: object = None
        if isinstance(event, yaml.ScalarEvent):
            self._size_bytes += len(event.value if event.value.isascii() else event.value.encode())
            value = self._scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._refuse_tag(event, path, "seq")
            value = [
                self._value(item, (*path, str(index))) for index, item in enumerate(self._until(yaml.SequenceEndEvent))
            ]
        elif isinstance(event, yaml.MappingStartEvent):
            self._refuse_tag(event, path, "map")
            value = self._mapping(path)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = (value, self._size_bytes - before_bytes)
        return value

    def _until(self, end: "type[yaml.Event]") -> Iterator["yaml.Event"]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    def _alias(self, event: "yaml.AliasEvent", path: tuple[str, ...]) -> object:
        if event.anchor not in self._anchors:
            self._fault(path, f"{shown(f'*{event.anchor}')} names no anchor before it")
            return None
        value, size_bytes = self._anchors[event.anchor]
        self._size_bytes += size_bytes
        self._aliased_bytes += size_bytes
        if self._aliased_bytes > MAX_ALIASED_BYTES:
            most = f"{MAX_ALIASED_BYTES // 2**20} MiB"
            raise Unreadable(_line_of(event), f"brings what aliases stand for above {most}", "use JSONL")
        return value

    def _mapping(self, path: tuple[str, ...]) -> dict[str, object]:
        import yaml

        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        for event in self._until(yaml.MappingEndEvent):
            name = self._value(event, (*path, "?"))
            value_event = next(self._events)
            if isinstance(event, yaml.ScalarEvent) and self._tag(event) == "merge":
                self._merge(merged, self._value(value_event, path), path)
                continue
            value = self._value(value_event, (*path, name if isinstance(name, str) else "?"))
            if isinstance(name, dict):
                # {{ x }} without quotes is YAML for an object whose one name is an object.
                self._fault(path, "names of fields must be text; put {{ expressions }} in quotes")
            elif not isinstance(name, str):
                self._fault(path, "names of fields must be text; put them in quotes")
            elif name in own:
                self._fault((*path, name), "is given twice in one object")
            else:
                own[name] = value
        return {**merged, **own}

    def _merge(self, merged: dict[str, object], value: object, path: tuple[str, ...]) -> None:
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                for name, item in part.items():
                    merged.setdefault(name, item)
            else:
                self._fault((*path, "<<"), "must be an alias of an object, or a list of such")

    def _scalar(self, event: "yaml.ScalarEvent", path: tuple[str, ...]) -> object:
        """Plain text, numbers, true, false and null; what only YAML knows, such as dates, is text."""
        tag, text = self._tag(event), event.value
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() in {"yes", "true", "on"}
        if tag in {"int", "float"}:
            try:
                return int(text) if tag == "int" else float(text)
            except ValueError:
                return text
        if tag not in {"str", "timestamp", "merge", "value"}:
            self._fault(path, f"has the tag {shown(tag)}, which no manifest needs")
        return text

    def _tag(self, event: "yaml.ScalarEvent") -> str:
        import yaml

        tag = event.tag
        if tag is None or tag == "!":
            resolve: Callable[..., str] = self._resolver.resolve
            tag = resolve(yaml.ScalarNode, event.value, event.implicit)
        return tag.removeprefix("tag:yaml.org,2002:")

    def _refuse_tag(self, event: "yaml.CollectionStartEvent", path: tuple[str, ...], plain: str) -> None:
        tag = str(event.tag or plain).removeprefix("tag:yaml.org,2002:")
        if tag not in {plain, "!"}:
            self._fault(path, f"has the tag {shown(tag)}, which no manifest needs")

    def _fault(self, path: tuple[str, ...], reason: str) -> None:
        self._faults.append(Fault(field_path(path), reason))
