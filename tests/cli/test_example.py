"""The manifest that the demo provisions and the README shows."""

import json

from tests.cli.conftest import EXAMPLE, Here

ENTRIES = [json.loads(line) for line in EXAMPLE.read_text().splitlines()]


def test_it_is_as_large_as_promised(here: Here) -> None:
    """At least 12 datasets, 44 projects and 260 memberships, with API keys and attachments."""
    found = here("validate", EXAMPLE, "--json").json
    assert found["datasets"] >= 12
    assert found["projects"] >= 44
    assert found["memberships"] >= 260
    assert found["api_keys"] >= 5
    assert {entry["kind"] for entry in ENTRIES} == {
        "dataset",
        "project",
        "project_datasets",
        "project_users",
        "project_api_key",
    }


def test_nobody_real_is_in_it() -> None:
    """All addresses are at example.com."""
    emails = [user["email"] for entry in ENTRIES for user in entry.get("users", [])]
    emails += [email for entry in ENTRIES for email in entry.get("emails", [])]
    assert all(email.endswith("@example.com") for email in emails)


def test_references_go_both_ways() -> None:
    """It shows that a reference may stand before or after the entry it names."""
    keys = {f"@{entry['key']}": number for number, entry in enumerate(ENTRIES) if "key" in entry}
    uses = [(keys[entry["project"]], number) for number, entry in enumerate(ENTRIES) if "project" in entry]
    assert any(named > number for named, number in uses)
    assert any(named < number for named, number in uses)
