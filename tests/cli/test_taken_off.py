"""Who was taken off the manifest is told by plan, apply and status in one line, and by verify for that reason."""

from pathlib import Path

from tests.cli.conftest import Api, Here, write_manifest
from tests.cli.test_apply import project


def test_one_line_for_one_fact(here: Here, api: Api, tmp_path: Path) -> None:
    """Plan, apply and status say the same line, until a run with --prune has made it untrue."""
    users = [{"email": f"u{number}@x.org", "role": "annotator"} for number in range(15)]
    manifest = write_manifest(tmp_path / "m.jsonl", project("Cats", "cats", users=users))
    journal = f"{manifest}.journal"
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    assert "gone from" not in here("status", journal).out
    write_manifest(manifest, project("Cats", "cats", users=users[1:]))
    found = api.projects("Cats")[0]["project_hash"]
    line = (
        "gone from the manifest, and nothing is done about it without --prune: "
        f"user u0@x.org in project @cats 'Cats' ({found})"
    )
    said = [here("plan", manifest, env=api.env), here("apply", manifest, env=api.env), here("status", journal)]
    assert [one.out.splitlines().count(line) for one in said] == [1, 1, 1]
    for verb, about in (("plan", manifest), ("apply", manifest), ("status", journal)):
        told = here(verb, about, "--json", env=api.env).json["taken_off"]
        assert (told["number"], told["first"][0]["item"]) == (1, "u0@x.org")
    verified = here("verify", manifest, env=api.env)
    assert "u0@x.org in Cats" in verified.out
    assert "gone from the manifest" in verified.out
    assert "gone from the manifest" in here("plan", manifest, "--refresh", env=api.env).out
    write_manifest(manifest, project("Cats", "cats"))
    told = here("apply", manifest, env=api.env)
    assert told.out.count("nothing is done about it without --prune") == 10
    assert "... and 5 more of what is in things are gone from the manifest" in told.out
    planned = here("plan", manifest, "--prune", env=api.env)
    assert f"gone from the manifest: user u1@x.org in project @cats 'Cats' ({found})" in planned.out
    assert "without --prune" not in planned.out
    assert "gone from" not in here("apply", manifest, "--prune", "--yes", env=api.env).out
    assert "gone from" not in here("status", journal).out


def test_what_is_the_same_of_many_things_takes_a_line(here: Here, api: Api, tmp_path: Path) -> None:
    """A tag that goes from all projects is told once, with the number of projects; with -v of each."""
    manifest = tmp_path / "m.jsonl"
    for tags in (["y2026"], ["y2027"]):
        write_manifest(manifest, *(project(f"Tagged {n}", f"p{n}", tags=tags) for n in range(30)))
        assert here("apply", manifest, "--yes", env=api.env).code == 0
    for done in (here("plan", manifest, env=api.env), here("status", f"{manifest}.journal")):
        (line,) = [line for line in done.out.splitlines() if "gone from" in line]
        assert "tag y2026 in project @p" in line
        assert line.endswith(" and in 29 other projects")
    assert here("plan", manifest, "-v", env=api.env).out.count("tag y2026 in project") == 30


def test_actions_of_an_entry_are_in_one_order(here: Here, api: Api, tmp_path: Path) -> None:
    """Whatever ends first, each entry of a plan has its actions in the same order."""
    users = [{"email": "ann@x.org", "role": "annotator"}]
    manifest = tmp_path / "m.jsonl"
    many = [project(f"Ordered {n}", f"p{n}") for n in range(20)]
    write_manifest(manifest, *many)
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    write_manifest(manifest, *(one | {"users": users, "tags": ["t"], "status": "in_progress"} for one in many))
    found = here("plan", manifest, "--json", env=api.env).json["actions"]
    orders = {
        tuple(one["what"] for one in found if one["number"] == number and one["action"] != "create")
        for number in range(1, 21)
    }
    assert orders == {("user", "tag", "status")}
