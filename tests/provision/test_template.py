"""Texts with expressions: what they become, and what is refused."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.errors import MissingExtraError
from encord_async.manifest import template
from encord_async.manifest.template import Filling, escaped, is_template, named_in, prepare, render

NAMES: dict[str, Any] = {
    "customer": "acme",
    "year": 2026,
    "mails": ["ann@example.com", "bob@example.com"],
    "contact": {"title": "Dr", "items": 3},
    "nothing": None,
    "yes": True,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["{{ a }}", "{% b %}", "{{", "{{{%", "}}"]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=10,
)


def filled(text: str) -> Any:
    """What *text* becomes."""
    value, faults = prepare(text)(NAMES)
    assert faults == []
    return value


def refused(text: str) -> str:
    """Why *text* is refused."""
    value, (fault,) = prepare({"title": [text]})(NAMES)
    assert value == {"title": [text]}
    assert fault.field == "title.0"
    return f"{fault.reason}; {fault.hint}" if fault.hint else fault.reason


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ mails }}", ["ann@example.com", "bob@example.com"]),
        ("{{ year }}", 2026),
        ("{{ yes }}", True),
        ("{{ nothing }}", None),
        ("{{ contact }}", {"title": "Dr", "items": 3}),
        ("{{ year }} ", "2026 "),
        ("{{ year }}{{ year }}", "20262026"),
        ("Pilot {{ customer | upper }}, {{ year + 1 }}\n", "Pilot ACME, 2027\n"),
        ("{{ mails | map('replace', 'example.com', 'x.org') }}", ["ann@x.org", "bob@x.org"]),
        ("{{ mails | join(', ') }}", "ann@example.com, bob@example.com"),
        ("{{ contact.items }} {{ contact.title }}", "3 Dr"),
        ("{{ 'w%03d' % 7 }}", "w007"),
        ("{{ 'w%03d of 20261126' | format(7) }}", "w007 of 20261126"),
        ("{{ '{} of 20261126, {:03d}, {a}'.format('x', 7, a=1) }}", "x of 20261126, 007, 1"),
        ("{{ '{title}'.format_map(contact) }}", "Dr"),
        ("{{ 'acme acme'.replace('acme', 'x', 1) }}", "x acme"),
        ("{{ team | default('nobody') }}", "nobody"),
        ("{{ mails | tojson }}", '["ann@example.com", "bob@example.com"]'),
        ("{{ '{{' }} customer }}", "{{ customer }}"),
        ("{% raw %}{{ customer }}{% endraw %}", "{{ customer }}"),
        ("{# no comment #} {{ customer }}", "{# no comment #} acme"),
        ("no {template}", "no {template}"),
    ],
)
def test_what_texts_become(text: str, value: object) -> None:
    """Jinja's expressions and filters work; one that is all of a text keeps its type, and text without any is left."""
    found = filled(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ custmer }}", "names 'custmer', which is no variable here; did you mean 'customer'?"),
        (
            "to {{ somebody }}",
            "names 'somebody', which is no variable here; known: customer, year, mails, contact, nothing, yes",
        ),
        ("{{ contact.name }}", "has no value: 'dict object' has no attribute 'name'"),
        ("{% if yes %}a{% endif %}", "holds a statement, {% %}, and a manifest has values only"),
        ("{% set a = 1 %}{{ a }}", "holds a statement, {% %}, and a manifest has values only"),
        ("{{ customer", "cannot be read as a template: unexpected end of template, expected 'end of print statement'."),
        ("to {{ mails }}", "has no value: a list cannot stand within text"),
        ("to {{ nothing }}", "has no value: null cannot stand within text"),
        ("{{ customer.title }}", "has no value: is worth a builtin_function_or_method"),
        ("{{ 1 / 0 }}", "has no value: division by zero"),
        ("{{ 1e309 }}", "has no value: it is too large"),
        ("{{ 1e308 * 10 }}", "has no value: is worth a number that is not finite"),
        ("{{ [1e308 * year] }}", "has no value: is worth a number that is not finite"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "holds an expression that is nested too deeply"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    """A text that cannot be filled in is told with its field, the reason and, if it can be guessed, what was meant."""
    assert why in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ mails.append(1) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ customer.format.__self__ }}",
        "{{ '{0.__class__}'.format(customer) }}",
        "{{ mails | random }}",
        "{{ range(3) }}",
        "{{ range(3) | list }}",
        "{{ dict(a=1) }}",
        "{{ lipsum() }}",
    ],
)
def test_nothing_but_values(text: str) -> None:
    """A manifest from a stranger reaches neither Python nor chance, and changes no variable."""
    assert refused(text)
    assert NAMES["mails"] == ["ann@example.com", "bob@example.com"]


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' * 10000000000 }}",
        "{{ mails * 10000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ customer.center(10000000000) }}",
        "{{ customer | center(10000000000) }}",
        "{{ '%10000000000d' % 1 }}",
        "{{ '%*d' % (10000000000, 1) }}",
        "{{ '%.10000000000f' % 1 }}",
        "{{ '%10000000000d' | format(1) }}",
        "{{ '%*d' | format(10000000000, 1) }}",
        "{{ '{:10000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, '10000000000') }}",
        "{{ '{a:10000000000}'.format_map({'a': 1}) }}",
        "{{ ('x' * 10000) | replace('x', 'y' * 10000) | length }}",
        "{{ ('x' * 10000).replace('x', 'y' * 10000) | length }}",
        "{{ ([['x' * 9999] * 999] * 999) | string | length }}",
        "{{ (((('x' * 10000) * 10000) * 10000) * 10000) | length }}",
    ],
)
def test_a_few_characters_fill_no_memory(text: str) -> None:
    """An expression that would make gigabytes is refused before it does."""
    assert "has no value: " in refused(text)


@pytest.mark.parametrize(
    "text", ["{{ long }}", "{{ long }}.", "{{ long | upper }}", "{{ [long, long] }}", "{{ many + many }}"]
)
def test_many_expressions_fill_no_memory(text: str) -> None:
    """Nor may all expressions of an entry together make more than any entry needs; a variable itself may be long."""
    names = {"long": "x" * 2**20, "many": [1] * 2**18}
    value, faults = prepare([text] * 40)(names)
    assert 8 <= len(faults) < 40
    assert faults[-1].reason == "has no value: more than 16 MiB would be made"
    assert value[-1] == text
    assert prepare("{{ many }}")({"many": [1] * 2**22})[1] == []


def test_variables_together_fill_no_memory() -> None:
    """What is filled in one after the other counts together where it is kept together."""
    filling = Filling({"long": "x" * 2**20})
    for _ in range(16):
        assert render("{{ long }}", filling) == "x" * 2**20
    assert render("{{ long }}", filling) == "{{ long }}"
    assert [fault.reason for fault in filling.faults] == ["has no value: more than 16 MiB would be made"]


@given(JSON)
def test_escaped_texts_are_none(value: object) -> None:
    """What is escaped becomes what it was, whatever it holds; so an export of any account can be applied."""
    assert prepare(escaped(value))({}) == (value, [])


@given(JSON.filter(lambda value: not is_template(value)))
def test_without_templates_nothing_changes(value: object) -> None:
    """Values without templates stay as they are."""
    assert prepare(value)(NAMES) == (value, [])


def test_a_text_made_of_one_is_no_template_again() -> None:
    """What a variable holds is only a value, even if it looks like a template."""
    assert prepare("{{ a }}-{{ a }}")({"a": "{{ b }}"}) == ("{{ b }}-{{ b }}", [])


def test_the_names_in_a_value() -> None:
    """All that a value names is found, wherever it stands; text that cannot be read names nothing."""
    assert named_in({"a": ["{{ x }} {{ y.z }}", {"b": "{{ w | default(v) }}"}], "c": "{{", "d": 1}) == set("xywv")


def test_without_jinja_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who lacks Jinja is told what to install, and how to write what is no template; others do not need it."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    template._compiled.cache_clear()
    assert prepare(json.loads('{"a": ["{b}"]}'))({}) == ({"a": ["{b}"]}, [])
    with pytest.raises(MissingExtraError, match=r"pip install 'encord-async\[templates\]'.*write \{\{ '\{\{' \}\}"):
        prepare("{{ a }}")
