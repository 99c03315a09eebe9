"""The short form of an ontology's structure, and the editor's document that it stands for. Pure.

An object is ``{name: Car, shape: bounding_box, attributes: {Colour: [Red, Blue]}}``, a classification a member of
``{Scene: [Day, Night]}``. Their options are a list, of which one is chosen, ``{checklist: [...]}``, of which several
are, ``text`` or ``numeric``. An option with attributes of its own is ``{Other: {Which: text}}``.

What stands in the document for a name hangs on the path of names that leads to it alone, so whoever expands the same
gets the same. The form of the document: SDK 0.1.211, objects/. That the service takes any hash of eight characters is
assumed: the SDK makes them at random.
"""

import base64
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from encord_async.errors import an
from encord_async.kinds.fields import meant, shown, sort_of, wrong
from encord_async.kinds.step import digest

__all__ = ["SHAPES", "SHORT_FORM", "expanded", "is_short"]

SHAPES: Final = (
    "bounding_box",
    "rotatable_bounding_box",
    "polygon",
    "polyline",
    "point",
    "bitmask",
    "cuboid",
    "cuboid_2d",
    "audio",
    "time_range",
    "text",
    "segmentation",
    "circle",
    "ellipse",
)
"""Without skeletons, which need a template."""
_COLOURS: Final = (
    *("#D33115", "#E27300", "#16406C", "#FE9200", "#FCDC00", "#DBDF00", "#A4DD00", "#68CCCA", "#73D8FF"),
    *("#AEA1FF", "#FCC400", "#B0BC00", "#68BC00", "#16A5A5", "#009CE0", "#7B64FF", "#FA28FF", "#B3B3B3"),
    *("#9F0500", "#C45100", "#FB9E00", "#808900", "#194D33", "#0C797D", "#0062B1", "#653294", "#AB149E"),
)
"""Those of the SDK, in its order (objects/constants.py)."""
_COLOUR: Final = re.compile("#[0-9A-Fa-f]{6}")
_BLANK: Final = re.compile(r"\s")
_IDENTIFIERS: Final = ("id", "featureNodeHash")
_OBJECT: Final = ("name", "shape", "attributes", "color", "required")
_WITH_OPTIONS: Final = ("radio", "checklist")
_WITHOUT_OPTIONS: Final = ("text", "numeric")
_MOST_NESTED: Final = 7
"""Levels of attributes within options (the SDK's `RadioAttribute`)."""

_ATTRIBUTES: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"type": "array", "minItems": 1, "items": {"type": ["string", "object"]}},
            {"enum": list(_WITHOUT_OPTIONS)},
            {
                "type": "object",
                "properties": {
                    **{kind: {"type": "array", "minItems": 1} for kind in _WITH_OPTIONS},
                    "type": {"enum": list(_WITHOUT_OPTIONS)},
                    "required": {"type": "boolean"},
                    "dynamic": {"type": "boolean"},
                },
                "additionalProperties": False,
            },
        ]
    },
}
SHORT_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Objects and classifications by name; a list of options is one of which one is chosen.",
    "properties": {
        "objects": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "shape": {"enum": list(SHAPES)},
                    "attributes": _ATTRIBUTES,
                    "color": {"type": "string", "pattern": f"^{_COLOUR.pattern}$"},
                    "required": {"type": "boolean"},
                },
                "required": ["name", "shape"],
                "additionalProperties": False,
            },
        },
        "classifications": _ATTRIBUTES,
    },
    "additionalProperties": False,
}
"""Its JSON Schema."""


def is_short(structure: Mapping[str, Any]) -> bool:
    """Whether *structure* is written in the short form, if only in parts."""
    return isinstance(structure.get("classifications"), Mapping) or any(
        isinstance(one, Mapping) and "name" in one and not any(name in one for name in _IDENTIFIERS)
        for one in _list_in(structure, "objects")
    )


def expanded(structure: Mapping[str, Any]) -> dict[str, Any]:
    """The editor's document for *structure*, which is short.

    Raises:
        PydanticCustomError: It is wrong, and which object, classification, attribute or option.
    """
    _only(structure, ("objects", "classifications"), "the short form")
    classifications = structure.get("classifications", {})
    if not isinstance(classifications, Mapping):
        if classifications:
            raise wrong("'classifications' is a list, and 'objects' are in the short form", "write all in one form")
        classifications = {}
    document = _Document()
    return {
        "objects": document.objects(_list_in(structure, "objects")),
        "classifications": document.classifications(classifications),
    }


def _list_in(structure: Mapping[str, Any], part: str) -> Sequence[Any]:
    found = structure.get(part, [])
    if not isinstance(found, list):
        raise wrong(f"{part!r} in it must be a list, not {sort_of(found)}")
    return found


class _Place(NamedTuple):
    """Where something stands in the document.

    Attributes:
        words: What people call it.
        path: The names that lead to it.
        id: The numbers that lead to it, as the document has them.
        nested: In how many options.
    """

    words: str
    path: tuple[str, ...]
    id: str
    nested: int = 0

    def inner(self, what: str, name: str, number: int, *, nested: int = 0) -> "_Place":
        """Where *name* is in it."""
        words = f"the {what} {shown(name)} of {self.words}"
        return _Place(words, (*self.path, what, name), f"{self.id}.{number}", self.nested + nested)


class _Document:
    """Makes the parts of one document, in which no hash stands twice."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def objects(self, wished: Sequence[Any]) -> list[dict[str, Any]]:
        """The objects; two of one name have different shapes."""
        seen: set[tuple[str, ...]] = set()
        return [self._object(number, one, seen) for number, one in enumerate(wished, 1)]

    def _object(self, number: int, wished: Any, seen: set[tuple[str, ...]]) -> dict[str, Any]:
        where = f"objects.{number - 1}"
        if not isinstance(wished, Mapping):
            raise wrong(f"{where} must be an object with name and shape, not {sort_of(wished)}")
        if any(name in wished for name in _IDENTIFIERS):
            raise wrong(f"{where} has identifiers, and others are in the short form", "write all in one form")
        name = _name(wished.get("name"), f"the name of {where}")
        where = f"the object {shown(name)}"
        _only(wished, _OBJECT, where, {"colour": "color"})
        shape = _shape(wished.get("shape"), where)
        place = _Place(where, ("object", name, shape), str(number))
        if place.path in seen:
            raise wrong(f"{where} is there twice with the shape {shape}", "give one of them another name")
        seen.add(place.path)
        colour = wished.get("color", _COLOURS[(number - 1) % len(_COLOURS)])
        if not (isinstance(colour, str) and _COLOUR.fullmatch(colour)):
            raise wrong(f"the color of {where} is {shown(colour)}", "write it as #D33115")
        made = {
            "id": place.id,
            "name": name,
            "color": colour,
            "shape": shape,
            "featureNodeHash": self._hash(place.path, _hex),
            "required": _flag(wished, "required", where),
            "archived": False,
        }
        attributes = wished.get("attributes", {})
        return made | ({"attributes": self._attributes(attributes, place)} if attributes else {})

    def classifications(self, wished: Mapping[Any, Any]) -> list[dict[str, Any]]:
        """The classifications, each with the one attribute that has its name."""
        made = []
        for number, (name, spec) in enumerate(_named(wished, "classification", "the structure"), 1):
            place = _Place(f"the classification {shown(name)}", ("classification", name), str(number))
            attribute = _Place(place.words, (*place.path, "attribute"), f"{number}.1")
            top = self._hash(place.path, _hex)
            made.append(
                {"id": place.id, "featureNodeHash": top, "attributes": [self._attribute(name, spec, attribute)]}
            )
        return made

    def _attributes(self, wished: Any, parent: _Place, *, nested: int = 0) -> list[dict[str, Any]]:
        if not isinstance(wished, Mapping):
            raise wrong(f"the attributes of {parent.words} must be an object of names, not {sort_of(wished)}")
        return [
            self._attribute(name, spec, parent.inner("attribute", name, number, nested=nested))
            for number, (name, spec) in enumerate(_named(wished, "attribute", parent.words), 1)
        ]

    def _attribute(self, name: str, spec: Any, place: _Place) -> dict[str, Any]:
        if place.nested > _MOST_NESTED:
            raise wrong(f"{place.words} is nested deeper than {_MOST_NESTED} levels")
        kind, options, flags = _spec(spec, place)
        made = {
            "id": place.id,
            "name": name,
            "type": kind,
            "featureNodeHash": self._hash(place.path, _base64),
            "required": _flag(flags, "required", place.words),
            "archived": False,
            "dynamic": _flag(flags, "dynamic", place.words),
        }
        return made if options is None else made | {"options": self._options(kind, options, place)}

    def _options(self, kind: str, wished: Any, parent: _Place) -> list[dict[str, Any]]:
        if not isinstance(wished, list) or not wished:
            raise wrong(f"the options of {parent.words} must be a list with one at least")
        seen: dict[str, str] = {}
        made = []
        for number, one in enumerate(wished, 1):
            label, inner = _option(one, parent)
            place = parent.inner("option", label, number)
            value = _BLANK.sub("_", label).lower()
            earlier = seen.setdefault(value, label)
            if len(seen) < number:
                raise wrong(f"{parent.words} has the option {shown(label)} twice", f"see {shown(earlier)}")
            option = {
                "id": place.id,
                "label": label,
                "value": value,
                "featureNodeHash": self._hash(place.path, _base64),
                "archived": False,
            }
            if inner and kind != "radio":
                raise wrong(f"{place.words} has attributes", "only an option of which one is chosen can have some")
            made.append(option | ({"options": self._attributes(inner, place, nested=1)} if inner else {}))
        return made

    def _hash(self, path: tuple[str, ...], form: Callable[[bytes], str]) -> str:
        """A hash for *path*: another where two paths would have one."""
        names, again = [name.encode() for name in path], 0
        while (found := form(digest(b"%d" % again, *names))) in self._given:
            again += 1
        self._given.add(found)
        return found


def _hex(found: bytes) -> str:
    """As the SDK has those of objects and classifications: the first eight digits of a UUID."""
    return found[:4].hex()


def _base64(found: bytes) -> str:
    """As it has those of what is in them."""
    return base64.b64encode(found[:6]).decode()


def _named(wished: Mapping[Any, Any], what: str, of: str) -> list[tuple[str, Any]]:
    """Names and what is said of each, of which no two are alike."""
    named = [(_name(name, f"the name of {an(what)} of {of}"), spec) for name, spec in wished.items()]
    if len(dict(named)) < len(named):
        raise wrong(f"{of} has two of one name among its {what}s")
    return named


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str):
        is_missing = value is None
        raise wrong(f"{where} {'is missing' if is_missing else f'must be text, not {sort_of(value)}'}")
    if not value.strip():
        raise wrong(f"{where} must not be empty")
    return value.strip()


def _shape(value: Any, where: str) -> str:
    if value == "skeleton":
        raise wrong(f"{where} is a skeleton, which needs a template", "give the editor's document, as an export has it")
    if not isinstance(value, str) or value not in SHAPES:
        said = "has no shape" if value is None else f"has the shape {shown(value)}, which is none"
        hint = meant(value, SHAPES) if isinstance(value, str) else ""
        raise wrong(f"{where} {said}", hint or f"use one of {', '.join(SHAPES)}")
    return value


def _spec(spec: Any, place: _Place) -> tuple[str, Any, Mapping[str, Any]]:
    """Type and options of an attribute, and what else is said of it."""
    forms = "write [options], {checklist: [options]}, text or numeric"
    if isinstance(spec, list):
        return "radio", spec, {}
    if isinstance(spec, str) and spec in _WITHOUT_OPTIONS:
        return spec, None, {}
    if not isinstance(spec, Mapping):
        raise wrong(f"{place.words} is {shown(spec)}", forms)
    can_change = place.path[0] == "object" and not place.nested
    _only(spec, (*_WITH_OPTIONS, "type", "required", *(["dynamic"] if can_change else [])), place.words)
    if len(spec.keys() & {*_WITH_OPTIONS, "type"}) != 1:
        raise wrong(f"{place.words} must have one of radio, checklist and type", forms)
    if "type" in spec:
        if spec["type"] not in _WITHOUT_OPTIONS:
            raise wrong(f"the type of {place.words} must be text or numeric", forms)
        return spec["type"], None, spec
    kind = "radio" if "radio" in spec else "checklist"
    return kind, spec[kind], spec


def _option(wished: Any, parent: _Place) -> tuple[str, Any]:
    """Label of an option, and what is said of its attributes."""
    if isinstance(wished, Mapping):
        if len(wished) != 1:
            raise wrong(f"{parent.words} has an option of several names", "write {Label: {Attribute: ...}}")
        [(label, inner)] = wished.items()
    else:
        label, inner = wished, None
    if label is not None and not isinstance(label, str | list):
        raise wrong(f"{parent.words} has the option {shown(label)}, which is no text", "put it in quotes")
    return _name(label, f"an option of {parent.words}"), inner


def _flag(said: Mapping[str, Any], name: str, where: str) -> bool:
    value = said.get(name, False)
    if not isinstance(value, bool):
        raise wrong(f"{name!r} of {where} must be true or false, not {sort_of(value)}")
    return value


def _only(
    said: Mapping[Any, Any], known: Collection[str], where: str, other_names: Mapping[str, str] | None = None
) -> None:
    for name in said:
        if name not in known:
            guess = (other_names or {}).get(str(name))
            hint = f"did you mean {guess!r}?" if guess else meant(str(name), known)
            raise wrong(f"{shown(name)} is not a part of {where}", hint or f"it has {', '.join(known)}")
