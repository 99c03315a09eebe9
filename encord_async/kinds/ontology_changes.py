"""What of an ontology is overwritten by an entry that wishes for another one, in words. Pure, and changes nothing."""

from collections.abc import Iterator, Mapping, Sequence

__all__ = ["overwritten", "overwritten_parts"]


def overwritten(field: str, held: str, wished: str) -> Iterator[str]:
    """That *field* has another text, if it has."""
    if held.strip() != wished.strip():
        yield f"{field} {held!r}"


def overwritten_parts(held: Mapping[str, object], wished: Mapping[str, object]) -> Iterator[str]:
    """How the parts of a structure differ that the entry names: what goes, what changes, and how much comes."""
    for part, now in wished.items():
        before = held.get(part)
        if before == now:
            continue
        if not isinstance(now, Sequence) or not isinstance(before, Sequence | None):
            yield f"structure: {part}"
            continue
        old, new = _by_name(before or ()), _by_name(now)
        goes = [name for name in old if name not in new]
        changes = [name for name, one in new.items() if name in old and old[name] != one]
        comes = [name for name in new if name not in old]
        words = (("removes", goes), ("changes", changes), ("adds", comes))
        said = ", ".join(f"{verb} {', '.join(map(repr, names))}" for verb, names in words if names)
        yield f"structure: {part}: {said or 'their order'}"


def _by_name(part: Sequence[object]) -> dict[str, object]:
    """Objects or classifications by what people call them."""
    named: dict[str, object] = {}
    for number, one in enumerate(part, 1):
        name = one.get("name") if isinstance(one, Mapping) else None
        first = next(iter(one.get("attributes") or ()), None) if isinstance(one, Mapping) else None
        if name is None and isinstance(first, Mapping):
            # A classification goes by its question.
            name = first.get("name")
        name = str(name if name is not None else number)
        named[name if name not in named else f"{name} ({number})"] = one
    return named
