"""The kind ``group``: a group of the organisation that shall exist, with members. Sends nothing."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Strict, WithJsonSchema

from encord_async.kinds.entry import MakingEntry, Use, uses
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import REFERENCE, Text, Title, email, hash_or_reference
from encord_async.kinds.steps import Step, StepKind, part_of, step_each

__all__ = ["GroupEntry"]


def _email_or_reference(value: str) -> str:
    return hash_or_reference(value) if value.startswith(REFERENCE) else email(value)


Member: TypeAlias = Annotated[
    str,
    Strict(),
    AfterValidator(_email_or_reference),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "description": "An e-mail address, or '@' and the key of an organisation_user.",
        }
    ),
]


class GroupEntry(MakingEntry):
    """A group of the organisation that shall exist, with members."""

    other_names: ClassVar[Mapping[str, str]] = MappingProxyType({"title": "name", "users": "members"})

    kind: Literal["group"] = "group"
    name: Title
    description: Text = ""
    members: tuple[Member, ...] = ()

    @property
    def wished_title(self) -> str:
        return self.name

    def references(self) -> Iterator[Use]:
        return uses("members", self.members, "organisation_user")

    def faults(self) -> list[Fault]:
        return twice("members.{}", [member.casefold() for member in self.members])

    def contents(self) -> Mapping[str, int]:
        return {"groups": 1}

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield Step(identity=part_of(identity, "group"), kind=StepKind.GROUP, item=self.name)
        yield from step_each(identity, StepKind.GROUP_MEMBER, None, self.members)
