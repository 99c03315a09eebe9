"""Writing a manifest to begin with."""

import re
from pathlib import Path

import pytest
import yaml

from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest.files import check_manifest, read_manifest
from encord_async.manifest.place import PlacedEntry
from encord_async.manifest.starter import starter_csv, starter_yaml
from tests.cli.conftest import Here
from tests.forms import list_forms

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [([], "programme.yaml"), (["--csv"], "programme.csv"), (["t.csv"], "t.csv"), (["t.yml"], "t.yml")],
)
def test_it_is_written_and_is_good(here: Here, arguments: list[str], name: str) -> None:
    """What is written has nothing wrong with it and no warning, and the same entries in every form."""
    done = here("init", *arguments)
    assert (done.code, done.err) == (0, "")
    assert name in done.out
    checked = here("validate", name)
    assert (checked.code, checked.err) == (0, "")
    Path("other.yaml").write_text(starter_yaml())
    told = [
        [item.entry for item in read_manifest(one) if isinstance(item, PlacedEntry)] for one in (name, "other.yaml")
    ]
    assert told[0] == told[1]


def test_nothing_is_written_over(here: Here) -> None:
    """A file that is there stays as it is, unless it is said to be written over; a journal stays in any case."""
    Path("programme.yaml").write_text("mine")
    done = here("init", "--json")
    assert (done.code, Path("programme.yaml").read_text()) == (2, "mine")
    assert "is there already" in done.json["error"]["message"]
    assert here("init", "--force", "--json").json == {"written": "programme.yaml"}
    assert check_manifest("programme.yaml").entries
    Path("j.csv").write_bytes(b"SQLite format 3\x00")
    assert here("init", "j.csv", "--force").code == 2
    assert "ends in .yaml or .csv" in here("init", "m.jsonl").err
    assert "ends in .csv" in here("init", "m.yaml", "--csv").err
    assert "cannot be written" in here("init", "no/such/m.yaml").err


def test_every_kind_and_field_is_in_it() -> None:
    """Each kind stands in it, as an entry or as a comment that becomes a good one, with every field it has."""
    blocks = re.split(r"\n(?=# [^-\n]*\n(?:# )?- kind: )", starter_yaml())[1:]
    entries = []
    for block in blocks:
        own = block.split("\n", 1)[1]
        text = re.sub("^# ", "", own, flags=re.MULTILINE) if own.startswith("#") else own
        [entry] = yaml.safe_load(text)
        entries.append(entry)
        fields = set(re.findall(r"^(?:# )?(?:- |  )(?:# )?(\w+):", own, flags=re.MULTILINE))
        assert fields == set(ENTRY_MODELS[entry["kind"]].model_fields)
    assert sorted(entry["kind"] for entry in entries) == sorted(ENTRY_MODELS)
    Path("all.yaml").write_text(yaml.safe_dump(entries))
    report = check_manifest("all.yaml")
    assert (report.problems, report.warnings) == ((), ())


def test_a_new_kind_is_in_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind for which nobody wrote an example is shown with its fields, as a comment."""
    for model in ENTRY_MODELS.values():
        if model is not DatasetEntry:
            monkeypatch.setattr(model, "example", {})
            monkeypatch.setattr(model, "is_common", False)
    assert "# - kind: group\n#   # key: " in starter_yaml()
    assert starter_csv() == "kind,key,title\ndataset,cats-raw,Cats raw\n"


def test_the_forms_of_lists_are_documented(here: Here) -> None:
    """The help shows each form of a list in a cell as it is read."""
    text = here("validate", "--help").out
    for name, forms in list_forms().items():
        assert name in text
        for form in forms:
            assert form in text, name
