"""The reference of the command line, errors, exit codes, emulator, environment and Python names. Pure text."""

import argparse
import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from enum import Enum, EnumType
from pathlib import Path

import click

import encord_async
import encord_async.cluster
import encord_async.emulator
import encord_async.export
import encord_async.operations
import encord_async.otel
import encord_async.plan
import encord_async.raw
import encord_async.testing
import encord_async.verify
from encord_async.cli.failures import ExitCode
from encord_async.cli.main import cli
from encord_async.emulator import command, faults
from encord_async.errors import EncordError
from encord_async.operations import Operation

PACKAGE = Path(encord_async.__file__).parent

# --- the command line ------------------------------------------------------------------------------------------------


def command_line() -> str:
    """Every verb with its arguments and options, as ``--help`` has them."""
    parts = [
        "# Command line",
        "Made from the program: what `encord-async VERB --help` says, for every verb. "
        "[Exit codes](errors.md#exit-codes) are the same for all of them.",
        "| verb | what it does |\n| --- | --- |\n"
        + "\n".join(
            f"| [`encord-async {name}`](#{anchor(name)}) | {verb.get_short_help_str(200)} |" for name, verb in verbs()
        ),
        *(verb_section(name, verb) for name, verb in verbs()),
    ]
    return "\n\n".join(parts) + "\n"


def verbs() -> Iterator[tuple[str, click.Command]]:
    """All verbs, in the order of ``--help``; those of a group after it."""
    for name, verb in cli.commands.items():
        yield name, verb
        if isinstance(verb, click.Group):
            for inner, one in verb.commands.items():
                yield f"{name} {inner}", one


def anchor(name: str) -> str:
    """The anchor of a verb."""
    return name.replace(" ", "-")


def verb_section(name: str, verb: click.Command) -> str:
    """One verb."""
    context = click.Context(verb, info_name=f"encord-async {name}")
    usage = verb.get_usage(context).removeprefix("Usage: ")
    level = "###" if " " in name else "##"
    parts = [f"{level} `{name}` {{ #{anchor(name)} }}", f"```text\n{' '.join(usage.split())}\n```"]
    parts += list(help_paragraphs(verb.help or ""))
    if name == "emulator":
        return "\n\n".join([*parts, "[Its options](emulator.md#options)."])
    rows = [
        option_row(option, context) for option in verb.params if isinstance(option, click.Option) and not option.hidden
    ]
    if rows:
        parts.append("\n".join(["| option | what it does | default |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(parts)


def help_paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of a verb's help as Markdown; those that click leaves as they are become blocks."""
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if "\b" in part or part.startswith("  "):
            yield f"```text\n{textwrap.dedent(part.replace(chr(8), '')).strip(chr(10))}\n```"
        elif part.strip():
            yield escaped(" ".join(part.split()))


def escaped(text: str) -> str:
    """*text*, of which Markdown takes nothing for markup but code."""
    return re.sub(r"([<*_|])", r"\\\1", re.sub(r"'(encord-async [^']+)'", r"`\1`", text)) if "`" not in text else text


def option_row(option: click.Option, context: click.Context) -> str:
    """One option."""
    record = option.get_help_record(context)
    names, said = record if record is not None else ("/".join(option.opts), "")
    fallback = re.search(r"\s*\[(?:env var: [^;\]]*; )?default: (.*?)(?:; .*)?\]$", said)
    default = f"`{fallback[1]}`" if fallback else ""
    said = said[: fallback.start()] if fallback else said
    spelt = names.replace("|", r"\|")
    return f"| `{spelt}` | {escaped(' '.join(said.split()))} | {default} |"


# --- errors ----------------------------------------------------------------------------------------------------------


def errors() -> str:
    """The tree of errors, and exit codes."""
    parts = [
        "# Errors and exit codes",
        "Every error derives from `EncordError`. Its first branch answers the question that matters in bulk: "
        "**may it have happened?** `applied` is `not_applied`, `unknown` or `applied`.",
        "| error | `applied` | when |\n| --- | --- | --- |\n" + "\n".join(error_rows(EncordError, 0)),
        "Each error carries `code` (the service's), `http_status`, `trace_id` (Encord's support finds a call by it), "
        "`retry_after_s`, `operation` and `applied`. No message holds a key, a token or a request body. "
        "[What is sent again, and what is not](../concepts/never-twice.md#what-is-sent-again).",
        "## Exit codes { #exit-codes }",
        "Of several that apply, the highest.",
        "| code | means |\n| --- | --- |\n"
        + "\n".join(f"| {code.value} | {said} |" for code, said in member_docs(ExitCode).items()),
    ]
    return "\n\n".join(parts) + "\n"


def error_rows(kind: type[EncordError], depth: int) -> Iterator[str]:
    """The row of an error, and those of what derives from it."""
    said = " ".join((kind.__doc__ or "").strip().partition("\n\n")[0].split())
    indent = "&emsp;" * depth
    yield f"| {indent}[`{kind.__name__}`][encord_async.{kind.__name__}] | {getattr(kind, 'applied', '')} | {said} |"
    for inner in kind.__subclasses__():
        if inner.__name__ in encord_async.__all__:
            yield from error_rows(inner, depth + 1)


def member_docs(kind: type[Enum]) -> dict[Enum, str]:
    """The docstrings below the members of an enumeration, which Python itself forgets."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        match before, after:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    missing = [member.name for member in kind if member.name not in found]
    if missing:
        raise ValueError(f"{kind.__name__} says nothing of {', '.join(missing)}")
    return {member: found[member.name] for member in kind}


# --- the emulator ----------------------------------------------------------------------------------------------------


def emulator_options() -> str:
    """The options of the emulator."""
    rows = []
    for action in command.parser()._actions:  # noqa: SLF001 - argparse has no other way to tell
        if action.help and action.option_strings != ["-h", "--help"]:
            default = "" if action.default in (None, False, argparse.SUPPRESS) else f"`{action.default}`"
            said = re.sub(r" \(default: %\(default\)s\)", "", action.help)
            rows.append(f"| `{', '.join(action.option_strings)}` | {said} | {default} |")
    return "\n".join(["| option | what it does | default |", "| --- | --- | --- |", *rows])


def fault_table() -> str:
    """The faults, and what else a rule with one may say."""
    rows = []
    for fault, said in member_docs(faults.Fault).items():
        assert isinstance(fault, faults.Fault)
        more = ", ".join(f"`{name}`" for name in faults.OWN_FIELDS.get(fault, ()))
        rows.append(f"| `{fault.value}` | {said.replace('``', '`')} | {more} |")
    return "\n".join(["| fault | what happens | its own fields |", "| --- | --- | --- |", *rows])


# --- the environment -------------------------------------------------------------------------------------------------

VARIABLES: Mapping[str, str] = {
    "ENCORD_SSH_KEY_FILE": "Path of the private key, an OpenSSH Ed25519 key. The name is the official SDK's.",
    "ENCORD_SSH_KEY": "The text of the key, where there is no `ENCORD_SSH_KEY_FILE`. The name is the official SDK's.",
    "ENCORD_SSH_KEY_PASSPHRASE": "Passphrase of the key; without it the command line asks.",
    "ENCORD_DOMAIN": "Where the API is, as `https://api.us.encord.com`; Encord's default region if it is not set.",
    "ENCORD_API_KEY": "A project's API key, for `encord-async project VERB --use-api-key`.",
    "ENCORD_VAR_NAME": "The variable `NAME` of a manifest; `--var` and `--var-file` count before it.",
    "REQUESTS_CA_BUNDLE": "A file of certificates to trust besides the system's; `--ca-bundle` counts before it.",
}
"""What is read from the environment; names that the code has and this has not fail the build."""
ELSEWHERE: frozenset[str] = frozenset({"ENCORD_VAR_", "ENCORD_ASYNC_COMPLETE"})
"""The beginning of a name, and one of click's."""


def environment() -> str:
    """The variables of the environment."""
    text = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    unknown = set(re.findall(r"\bENCORD_[A-Z_]+", text)) - set(VARIABLES) - ELSEWHERE
    if unknown:
        raise ValueError(f"say in {__file__} what {', '.join(sorted(unknown))} is for")
    rows = "\n".join(f"| `{name}` | {said} |" for name, said in VARIABLES.items())
    return (
        "# Environment variables\n\nOptions count before variables, and both before defaults. A proxy is taken from "
        "`HTTPS_PROXY` and `NO_PROXY`, as everywhere.\n\n| variable | what it says |\n| --- | --- |\n" + rows + "\n"
    )


# --- Python ----------------------------------------------------------------------------------------------------------

MODULES = (
    encord_async,
    encord_async.operations,
    encord_async.raw,
    encord_async.plan,
    encord_async.verify,
    encord_async.export,
    encord_async.cluster,
    encord_async.testing,
    encord_async.emulator,
    encord_async.otel,
)
"""What is public."""
HANDED_OUT: Mapping[str, tuple[str, ...]] = {
    "encord_async.plan": ("Action", "Forecast", "Gone", "Verb"),
    "encord_async.verify": ("compare.Report", "difference.Difference"),
    "encord_async.export": ("Exported", "LeftOut"),
}
"""Of these modules only what a session's methods hand out; the methods themselves are `EncordSession`'s."""


def shown_of(thing: object) -> str:
    """The options of a name in the reference, if it has some of its own, as the lines after it."""
    if isinstance(thing, EnumType):
        # Its members speak for themselves.
        return "\n    options: {show_if_no_docstring: true}"
    if Operation in getattr(thing, "__mro__", ()) and is_dataclass(thing):
        # What it is made of is its signature; what it does with that is the session's.
        return "\n    options: {members: false}"
    return ""


def python_pages() -> Iterator[tuple[str, str]]:
    """A page for each public module, by its name, and one that lists them."""
    rows = []
    for module in MODULES:
        name = module.__name__
        said = " ".join((module.__doc__ or "").strip().partition("\n\n")[0].split())
        said = re.sub(r"``([^`]+)``", r"`\1`", said)
        rows.append(f"| [`{name}`]({name}.md) | {said} |")
        public = HANDED_OUT.get(name) or module.__all__
        names = sorted(public, key=lambda one: (one.endswith("Error"), one))
        first = ["EncordSession", "ProjectHandle", "Run"]
        names.sort(key=lambda one: first.index(one) if one in first else len(first))
        blocks = "\n\n".join(f"::: {name}.{one}{shown_of(getattr(module, one, None))}" for one in names)
        yield f"python/{name}.md", f"# `{name}`\n\n{said}\n\n{blocks}\n"
    yield (
        "python/index.md",
        "# Python API\n\nWhat is in `encord_async.__all__` is what most programs need. Each module's `__all__` is "
        "public, and nothing else is promised.\n\n| module | what it has |\n| --- | --- |\n" + "\n".join(rows) + "\n",
    )
