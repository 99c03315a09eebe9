"""The small fake of the service, held against the emulator: whatever is asked of both, both say the same."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from encord_async import operations as ops
from encord_async.client import EncordSession
from encord_async.errors import EncordError
from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole
from encord_async.protocol.signing import BearerToken
from encord_async.session.settings import Settings
from encord_async.session.transport import Transport
from tests.crash.conftest import Death, MortalTransport
from tests.crash.conftest import Service as Emulated
from tests.provision.conftest import ADMIN, TOKEN, Dataset, Project, Service
from tests.thorough import times

Question: TypeAlias = Callable[[list[str], list[str]], ops.Operation[Any]]
"""What is asked, given the hashes of projects and datasets in the order in which they were made."""
Fact: TypeAlias = Any
"""What an answer says, in words that both services share."""

LEFT_OUT = {
    "api_key",
    "created_at",
    "last_edited_at",
    "ontology_hash",
    "editor_ontology",
    "label_rows",
    "source_projects",
}
LEFT_OUT |= {"workflow_manager_uuid", "user_hash", "backing_folder_uuid", "data_rows", "dataset_type"}
"""Times, secrets, and what only the emulator knows."""

NUMBERS = st.integers(0, 3)
SOME = st.lists(NUMBERS, min_size=1, max_size=2, unique=True)
EMAILS = st.lists(st.sampled_from(["ann@example.com", "bob@example.com"]), min_size=1, unique=True)


def those(hashes: Sequence[str], numbers: Iterable[int]) -> tuple[str, ...]:
    """The hashes of these numbers; a number too many is one that nobody has."""
    return tuple(hashes[number] if number < len(hashes) else "no-such" for number in numbers)


def create_project(title: str, numbers: list[int]) -> Question:
    """Make one with these datasets."""
    return lambda _, there: ops.CreateProject(title=title, dataset_hashes=those(there, numbers))


def create_dataset(title: str, *, rest: bool) -> Question:
    """Make one, over either API."""
    return lambda *_: (ops.CreateDatasetV2 if rest else ops.CreateDataset)(title=title)


def attach(number: int, numbers: list[int]) -> Question:
    """Attach datasets to a project."""
    return lambda projects, there: ops.AddDatasets(
        project_hash=those(projects, [number])[0], dataset_hashes=those(there, numbers)
    )


def detach(number: int, numbers: list[int]) -> Question:
    """Take datasets out of a project."""
    return lambda projects, there: ops.RemoveDatasets(
        project_hash=those(projects, [number])[0], dataset_hashes=those(there, numbers)
    )


def add_users(number: int, emails: list[str], role: ProjectUserRole) -> Question:
    """Add users to a project."""
    return lambda projects, _: ops.AddProjectUsers(
        project_hash=those(projects, [number])[0], emails=tuple(emails), role=role
    )


def create_key(number: int, title: str) -> Question:
    """Make an API key of a project."""
    return lambda projects, _: ops.CreateProjectAPIKey(
        project_hash=those(projects, [number])[0], title=title, scopes=(APIKeyScope.LABEL_READ,)
    )


def look(number: int) -> list[Question]:
    """Look at a project, and its keys."""
    return [
        lambda projects, _: ops.GetProject(project_hash=those(projects, [number])[0]),
        lambda projects, _: ops.ListProjectAPIKeys(project_hash=those(projects, [number])[0]),
    ]


LISTINGS: list[Question] = [
    lambda *_: ops.ListProjects(),
    lambda *_: ops.ListDatasets(),
    lambda _, there: ops.GetDataset(dataset_hash=there[-1]),
]
TITLES = st.sampled_from(["Cats", "Dogs"])
QUESTIONS: st.SearchStrategy[Question] = st.one_of(
    st.builds(create_project, TITLES, st.just([]) | SOME),
    st.builds(create_dataset, TITLES, rest=st.booleans()),
    st.builds(attach, NUMBERS, SOME),
    st.builds(detach, NUMBERS, SOME),
    st.builds(add_users, NUMBERS, EMAILS, st.sampled_from(ProjectUserRole)),
    st.builds(create_key, NUMBERS, TITLES),
)


async def answers(transport: Transport, questions: Iterable[Question]) -> list[Fact]:
    """What the service behind *transport* says to each."""
    projects, datasets = ["p-dogs"], ["d-old"]

    def fact(answer: object) -> Fact:
        known = [*projects, "|", *datasets]
        match answer:
            case BaseModel():
                names = sorted(type(answer).model_fields.keys() - LEFT_OUT)
                return [(name, fact(getattr(answer, name))) for name in names]
            case tuple():
                return sorted((fact(one) for one in answer), key=repr)
            case str() if answer in known:
                return known.index(answer)
            case SecretStr():
                return "secret"
        return answer

    said: list[Fact] = []
    domain = Settings(domain="http://127.0.0.1:1")
    async with EncordSession(BearerToken(TOKEN), domain, transport=lambda _: transport) as session:
        for question in questions:
            operation = question(projects, datasets)
            try:
                answer = await session.execute(operation)
            except EncordError as error:
                said.append(type(error).__name__)
                continue
            if isinstance(operation, ops.CreateProject):
                projects.append(answer)
            elif isinstance(operation, ops.CreateDataset):
                datasets.append(answer.dataset_hash)
            elif isinstance(operation, ops.CreateDatasetV2):
                datasets.append(answer.dataset_uuid)
            said.append(fact(answer))
    return said


@settings(max_examples=times(40, of=1000))
@given(st.lists(QUESTIONS, max_size=10))
def test_the_fake_says_what_the_emulator_says(questions: list[Question]) -> None:
    """Answers, and the kinds of refusals, are the same; so is what is there in the end."""
    asked = [*questions, *LISTINGS, *(one for number in range(4) for one in look(number))]
    fake, emulated = Service(), Emulated()
    fake.datasets["d-old"] = Dataset("Old")
    fake.projects["p-dogs"] = Project("Dogs", datasets=["d-old"], users={ADMIN: 0})
    try:
        expected = anyio.run(answers, MortalTransport(emulated, Death()), asked)
        assert anyio.run(answers, fake, asked) == expected
    finally:
        emulated.close()
