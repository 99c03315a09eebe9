"""The tests run on the built wheel, and the wheel is what the README promises."""

import re
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata, resources
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import encord_async

ROOT = Path(__file__).parents[1]
SITE = Path(sysconfig.get_path("purelib")).resolve()
LOCK, DEMO_LOCK = ROOT / "requirements.lock", ROOT / "requirements-demo.lock"
LOCKS = [LOCK, DEMO_LOCK, *sorted((ROOT / "tests" / "interop").glob("*.lock"))]


def pins(lock: Path) -> set[tuple[str, str]]:
    """Names and versions that *lock* holds."""
    return set(re.findall(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==([^ ]+)", lock.read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    """The checkout's pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def dist() -> metadata.Distribution:
    """The installed distribution."""
    return metadata.distribution("encord-async")


def test_the_installed_wheel_is_under_test() -> None:
    """The package under test comes from site-packages, not from the checkout around the tests."""
    assert Path(encord_async.__file__).resolve().is_relative_to(SITE)
    assert str(ROOT) not in sys.path
    assert "" not in sys.path


def test_the_wheel_is_typed() -> None:
    """A type checker of a user sees our types."""
    assert resources.files("encord_async").joinpath("py.typed").is_file()


def test_the_wheel_brings_the_demo_manifest() -> None:
    """`encord-async demo` works without the checkout, on the very manifest shown in examples/."""
    shipped = resources.files("encord_async").joinpath("cli", "annotation-programme.jsonl").read_text()
    assert shipped == (ROOT / "examples" / "annotation-programme.jsonl").read_text()


def test_the_wheel_holds_nothing_else(dist: metadata.Distribution) -> None:
    """Installing us puts a package, a command and a plugin of pytest onto a machine, no tests and no build's caches."""
    files = [file for file in dist.files or [] if file.suffix != ".pyc"]
    tops = {"bin" if ".." in file.parts else file.parts[0] for file in files}
    assert tops == {"encord_async", "_encord_async_pytest.py", f"encord_async-{dist.version}.dist-info", "bin"}
    licences = {file.name for file in files if "licenses" in file.parts}
    assert licences == {"LICENSE", "THIRD_PARTY.txt"}


def test_the_metadata_is_what_pyproject_says(dist: metadata.Distribution, pyproject: dict[str, Any]) -> None:
    """Name, version, licence and Python versions have one source."""
    project = pyproject["project"]
    assert dist.metadata["Name"] == "encord-async"
    assert dist.version == project["version"]
    assert dist.metadata["License-Expression"] == "Apache-2.0"
    assert dist.metadata["Requires-Python"] == ">=3.11"
    assert dist.metadata.get_all("Classifier") == sorted(project["classifiers"])


def test_the_bare_install_is_small(dist: metadata.Distribution) -> None:
    """Without extras only six libraries are asked for, by ranges."""
    bare = [Requirement(text) for text in dist.requires or [] if "extra ==" not in text]
    assert {r.name for r in bare} == {"aiohttp", "anyio", "bcrypt", "cryptography", "pydantic", "tenacity"}
    assert all(specifier.operator == ">=" for r in bare for specifier in r.specifier)


def test_all_is_every_extra(dist: metadata.Distribution) -> None:
    """`encord-async[all]` brings what each single extra brings."""
    requirements = [Requirement(text) for text in dist.requires or []]

    def brought_by(extra: str) -> set[str]:
        return {r.name for r in requirements if r.marker is not None and r.marker.evaluate({"extra": extra})}

    singles = set(dist.metadata.get_all("Provides-Extra") or []) - {"all"}
    assert singles == {"cli", "dask", "journal", "otel", "postgres", "pytest", "speed", "templates", "xlsx"}
    assert brought_by("all") == set().union(*map(brought_by, singles))
    assert all(map(brought_by, singles))


def test_the_command_is_installed(dist: metadata.Distribution) -> None:
    """The console script is called encord-async and starts what `python -m encord_async` starts."""
    (script,) = [entry for entry in dist.entry_points if entry.group == "console_scripts"]
    assert (script.name, script.value) == ("encord-async", "encord_async.__main__:main")
    assert Path(sys.executable).with_name("encord-async").is_file()


def test_the_pytest_plugin_is_installed(dist: metadata.Distribution) -> None:
    """pytest finds the fixtures by itself; there is no other entry point."""
    found = {(entry.group, entry.name): entry.value for entry in dist.entry_points}
    assert found == {
        ("console_scripts", "encord-async"): "encord_async.__main__:main",
        ("pytest11", "encord_async"): "_encord_async_pytest",
    }


@pytest.mark.process
def test_importing_the_library_needs_no_extra() -> None:
    """`import encord_async` works in a bare install; a journal in SQLite loads nothing that is for PostgreSQL."""
    extras = ["click", "rich", "yaml", "jinja2", "openpyxl", "sqlalchemy", "psycopg", "distributed", "uvloop"]
    extras += ["pytest", "opentelemetry"]
    code = f"import sys, encord_async; print(*sorted(set({extras!r}) & set(sys.modules)))"
    code += "; import encord_async.journal.journal; print(*(name for name in sys.modules if 'postgres' in name))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_lock_serves_pyproject(pyproject: dict[str, Any]) -> None:
    """Each requirement in pyproject.toml is met by the release in the lock; if not, `make lock` was forgotten."""
    project = pyproject["project"]
    texts = [*project["dependencies"], *pyproject["build-system"]["requires"]]
    texts += chain(*project["optional-dependencies"].values(), *pyproject["dependency-groups"].values())
    for requirement in map(Requirement, texts):
        name = canonicalize_name(requirement.name)
        versions = [version for pinned, version in pins(LOCK) if pinned == name]
        if name != "encord-async":
            assert versions, f"{requirement} is not in the lock"
            assert all(map(requirement.specifier.contains, versions)), f"{requirement} but locked: {versions}"


def test_the_demo_shows_what_was_tested() -> None:
    """`make demo` installs the very releases that `make test` runs with."""
    assert pins(DEMO_LOCK) < pins(LOCK)


@pytest.mark.process
def test_the_demo_needs_no_more_than_its_lock() -> None:
    """`make demo` works in a fresh clone, where nothing is installed but what its own lock holds."""
    there = {"encord-async", *(name for name, _ in pins(DEMO_LOCK))}
    owners = {
        top: {canonicalize_name(name) for name in names} for top, names in metadata.packages_distributions().items()
    }
    missing = {top: None for top, names in owners.items() if not names & there}
    code = f"import sys; sys.modules |= {missing}; sys.argv = ['encord-async', 'demo']; "
    code += "from encord_async.__main__ import main; main()"
    assert "sqlalchemy" in missing
    done = subprocess.run([sys.executable, "-I", "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_the_locks_hold_hashes_and_no_addresses(lock: Path) -> None:
    """A lock names releases and hashes only, so that it installs from whichever index a machine uses."""
    release = re.compile(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==[a-z0-9.]+( ; [a-z_0-9 .'!=<>()]+)? \\", re.IGNORECASE)
    digest = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    for line in lock.read_text().splitlines():
        assert release.fullmatch(line) or digest.fullmatch(line), line


def test_the_lock_keeps_extras() -> None:
    """Where a release asks for `coverage[toml]`, so does the lock: an old pip takes the newest else, without a hash."""
    lines = LOCK.read_text()
    asked = chain.from_iterable(metadata.requires(name) or () for name, _ in pins(LOCK) if _is_installed(name))
    kept = [
        one
        for one in map(Requirement, asked)
        if one.extras and (one.marker is None or one.marker.evaluate({"extra": ""}))
    ]
    assert kept
    for one in kept:
        name = canonicalize_name(one.name)
        assert re.search(rf"^{name}\[[^\]]*{'.*'.join(sorted(one.extras))}[^\]]*\]==", lines, re.MULTILINE), one


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
