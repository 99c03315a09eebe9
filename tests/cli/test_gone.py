"""What is told of things that are gone from the manifest: before they are retired, as they are, and ever after."""

from pathlib import Path

from encord_async.kinds.registry import nouns
from tests.cli.conftest import Api, Here, Json, write_manifest
from tests.cli.test_apply import project

ANN = [{"email": "ann@x.org", "role": "annotator"}]
KEY = [{"title": "upload", "scopes": ["label.read"]}]
STAYS = {"kind": "project", "key": "stays", "title": "Stays"}
PENDING = "gone from the manifest, and nothing is done about it without --retire: "
AT_REST = "gone from the manifest, and by the journal nothing is left for --retire to do: "


def programme(here: Here, api: Api, folder: Path, title: str) -> tuple[Path, str, str]:
    """A journal of a project whose entry has gone, with a user, a dataset and a key; its manifest, and both hashes."""
    data: Json = {"kind": "dataset", "key": "raw", "title": f"{title} raw"}
    cats = project(title, "cats", users=ANN, datasets=["@raw"], api_keys=KEY)
    manifest = write_manifest(folder / "m.jsonl", STAYS, data, cats)
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    made = {one["key"]: one["hash"] for one in here("journal", "list", f"{manifest}.journal", "--json").json["entries"]}
    write_manifest(manifest, STAYS)
    return manifest, made["cats"], made["raw"]


def test_what_was_retired_is_told_as_that(here: Here, api: Api, tmp_path: Path) -> None:
    """Once it is retired, no command says that nothing is done about it; all say the same."""
    manifest, cats, raw = programme(here, api, tmp_path, "Lions")
    journal = f"{manifest}.journal"
    line = f"{PENDING}project @cats 'Lions' ({cats}); its API key 'upload' goes on working"
    # Nobody was ever let into the dataset.
    counted = f"{AT_REST}1 dataset; -v lists them"
    said = [here("plan", manifest, env=api.env), here("apply", manifest, env=api.env), here("status", journal)]
    for one in said:
        assert one.out.splitlines().count(line) == 1
        assert one.out.splitlines().count(counted) == 1
    assert here("apply", manifest, "--retire", "--yes", env=api.env).code == 0
    said = [here("plan", manifest, env=api.env), here("apply", manifest, env=api.env), here("status", journal)]
    counted = f"{AT_REST}1 dataset and 1 project; 1 API key of theirs goes on working; -v lists them"
    for one in said:
        assert "without --retire" not in one.out
        assert one.out.splitlines().count(counted) == 1
    listed = here("plan", manifest, "-v", env=api.env).out.splitlines()
    assert f"{AT_REST}project @cats 'Lions' ({cats}); its API key 'upload' goes on working" in listed
    for verb, about in (("plan", manifest), ("apply", manifest), ("status", journal)):
        told = {one["hash"]: one for one in here(verb, about, "--json", env=api.env).json["gone"]}
        assert [told[cats]["is_at_rest"], told[raw]["is_at_rest"]] == [True, True]
        assert told[cats]["keys"] == ["upload"]


def test_somebody_who_came_back_is_not_at_rest(here: Here, api: Api, tmp_path: Path) -> None:
    """Who is let into a retired thing by its hash is let in; then there is something to retire again."""
    manifest, cats, _ = programme(here, api, tmp_path, "Tigers")
    assert here("apply", manifest, "--retire", "--yes", env=api.env).code == 0
    back = {"kind": "project_users", "project": cats, "emails": ["ann@x.org"], "role": "annotator"}
    write_manifest(manifest, STAYS, back)
    assert here("apply", manifest, env=api.env).code == 0
    write_manifest(manifest, STAYS)
    assert f"{PENDING}project @cats 'Tigers' ({cats})" in here("plan", manifest, env=api.env).out


def test_a_project_that_comes_back_is_archived_still(here: Here, api: Api, tmp_path: Path) -> None:
    """Its entry says no status, so that stays, and is told until the entry says one."""
    manifest, cats, _ = programme(here, api, tmp_path, "Jaguars")
    assert here("apply", manifest, "--retire", "--yes", env=api.env).code == 0
    back = project("Jaguars", "cats", users=ANN, api_keys=KEY)
    write_manifest(manifest, STAYS, back)
    stays = f"gone from the manifest, and it stays: status archived in project @cats 'Jaguars' ({cats})"
    for verb in ("plan", "apply", "plan"):
        assert stays in here(verb, manifest, env=api.env).out
    assert stays in here("status", f"{manifest}.journal").out
    write_manifest(manifest, STAYS, back | {"status": "in_progress"})
    for verb in ("plan", "apply"):
        assert "status archived" not in here(verb, manifest, env=api.env).out
    write_manifest(manifest, STAYS, back | {"status": "not_started"})
    assert here("apply", manifest, env=api.env).code == 0
    # As it would be had nobody ever said anything.
    write_manifest(manifest, STAYS, back)
    assert "it stays" not in here("plan", manifest, env=api.env).out


def test_keys_that_go_on_working_are_named(here: Here, api: Api, tmp_path: Path) -> None:
    """Plan and apply name the API keys of what they retire, and what is taken off by its title."""
    manifest, cats, raw = programme(here, api, tmp_path, "Cats")
    said = "Cats is retired, and its API key 'upload' goes on working; this API deletes none; delete it in Encord's app"
    planned = here("plan", manifest, "--retire", env=api.env)
    assert said in planned.err
    assert f"Cats raw ({raw}) in Cats ({cats})" in planned.out
    (action,) = [
        one
        for one in here("plan", manifest, "--retire", "--json", env=api.env).json["actions"]
        if one["what"] == "dataset"
    ]
    assert (action["items"], action["item_titles"]) == ([raw], ["Cats raw"])
    assert said in here("apply", manifest, "--retire", "--yes", env=api.env).err


def test_what_is_too_much_has_its_title(here: Here, api: Api, tmp_path: Path) -> None:
    """What the manifest no longer has goes by the title that the journal has, in verify and in plan --prune."""
    data = [{"kind": "dataset", "key": key, "title": f"Titled {key}"} for key in ("raw", "spare")]
    manifest = write_manifest(tmp_path / "m.jsonl", *data, project("Titled", "cats", datasets=["@raw", "@spare"]))
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    made = {one["key"]: one["hash"] for one in here("journal", "list", f"{manifest}.journal", "--json").json["entries"]}
    write_manifest(manifest, data[0], project("Titled", "cats", datasets=["@raw"]))
    assert f"Titled spare ({made['spare']}) in Titled" in here("verify", manifest, env=api.env).out
    assert f"Titled spare ({made['spare']}) in Titled" in here("plan", manifest, "--prune", env=api.env).out


def test_what_a_policy_protects(here: Here, api: Api, tmp_path: Path) -> None:
    """Of a protected thing no command proposes an option that it does not obey, and who stays is told as that."""
    bob = {"email": "bob@x.org", "role": "annotator"}
    manifest = write_manifest(tmp_path / "m.jsonl", project("Guarded", "cats", users=[*ANN, bob]))
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    policy = tmp_path / "encord-async.toml"
    policy.write_text('protected_keys = ["cats"]\n')
    write_manifest(manifest, project("Guarded", "cats", users=[bob | {"role": "reviewer"}]))
    why = f"it is protected; see protected_keys in {policy}"
    stays = f"gone from the manifest, and it stays ({why}): user ann@x.org in project @cats 'Guarded'"
    for verb in (["verify"], ["plan"], ["plan", "--prune"], ["plan", "--replace-roles"], ["apply", "--prune"]):
        done = here(verb[0], manifest, *verb[1:], env=api.env)
        assert "--replace-roles" not in done.out + done.err
        assert why in done.out
        if verb != ["verify"]:
            assert stays in done.out
    assert stays in here("status", f"{manifest}.journal").out


def test_one_word_for_what_a_step_does(here: Here, api: Api, tmp_path: Path) -> None:
    """Status and plan call what steps do by the same words, those of the kind."""
    data: Json = {"kind": "dataset", "key": "raw", "title": "Worded raw"}
    cats = project("Worded", "cats", users=ANN, datasets=["@raw"], tags=["t"], api_keys=KEY)
    manifest = write_manifest(tmp_path / "m.jsonl", data, cats)
    counts = here("plan", manifest, "--json", env=api.env).json["counts"]
    planned = {f"{verb} {nouns(what)[0]}" for verb, found in counts.items() for what in found}
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    status = here("status", f"{manifest}.journal").out
    assert {"create project", "add user", "create API key", "add tag"} < planned
    told = {line[: line.index("  ")] for line in status.splitlines()[2:]}
    # Of what a project is made with there is no step of its own.
    assert told == planned - {"add dataset", "create tag"}


def test_status_counts_what_failed_in_good_words(here: Here, api: Api, tmp_path: Path) -> None:
    """One step has failed, several have."""
    manifest = tmp_path / "m.jsonl"
    for title in ("Failing", "Failing no more"):
        write_manifest(manifest, project(f"{title} a", "a"), project(f"{title} b", "b"))
        here("apply", manifest, "--yes", env=api.env)
    status = here("status", f"{manifest}.journal")
    assert "2 steps have failed; the next apply tries again:" in status.out, status.out
