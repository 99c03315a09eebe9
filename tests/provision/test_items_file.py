"""Files of rows beside a manifest: whatever the format says, block by block it is what was written."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encord_async.errors import SettingsError
from encord_async.kinds.files import BLOCK_ITEMS, ListedFiles, Portion, URLs, identity_url, url_digest
from encord_async.manifest.items_file import ItemsFile, read_items_file
from encord_async.protocol.catalogue import FileType
from encord_async.protocol.cloud_files import CloudDicomSeries, CloudFile, CloudImageGroup, CloudItem

TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs"), exclude_characters="="), min_size=1, max_size=9
)
ITEMS = st.builds(
    CloudFile,
    type=st.just(FileType.IMAGE),
    url=TEXTS.map(lambda name: f"s3://b/{name}.png").filter(str.isprintable),
    title=st.none() | TEXTS,
    metadata=st.dictionaries(TEXTS.filter(lambda name: name != "encord_async"), TEXTS, max_size=2),
)
MANY = [CloudFile(type=FileType.IMAGE, url=f"s3://b/{n}-é.png", metadata={"é": "x" * 99}) for n in range(2500)]


def rows(items: Sequence[CloudFile]) -> list[dict[str, Any]]:
    """As JSON lines have them."""
    return [
        {"url": one.url, **({"title": one.title} if one.title else {}), "metadata": dict(one.metadata)} for one in items
    ]


def json_lines(items: Sequence[CloudFile], *, ascii_only: bool) -> str:
    """JSON lines, with blank ones."""
    return "\n\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows(items))


def table(items: Sequence[CloudFile], *, ascii_only: bool) -> str:
    """CSV, with cells of several lines."""
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(["metadata", "url", "title"])
    for row in rows(items):
        out.writerow([json.dumps(row["metadata"], indent=1, ensure_ascii=ascii_only), row["url"], row.get("title", "")])
    return text.getvalue()


def upload(items: Sequence[CloudFile], *, ascii_only: bool) -> str:
    """The vendor's upload JSON."""
    images = [
        {"objectUrl": row["url"], "clientMetadata": row["metadata"]}
        | ({"title": row["title"]} if "title" in row else {})
        for row in rows(items)
    ]
    return json.dumps({"images": images, "skip_duplicate_urls": True}, indent=1, ensure_ascii=ascii_only)


WRITERS = {"x.jsonl": json_lines, "x.csv": table, "x.json": upload}


def read_back(file: ItemsFile) -> list[CloudItem]:
    """All items, from the last block to the first."""
    found: list[CloudItem] = []
    for block in reversed(file.blocks):
        found = [*file.read(block), *found]
    return found


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40)
@given(items=st.lists(ITEMS, min_size=1, max_size=5), ascii_only=st.booleans())
def test_each_format_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, name: str, items: list[CloudFile], *, ascii_only: bool
) -> None:
    """What was written is what is read, in any characters."""
    path = tmp_path_factory.mktemp("rows") / name
    path.write_text(WRITERS[name](items, ascii_only=ascii_only), encoding="utf-8", newline="")
    assert read_back(read_items_file(path)) == items


@pytest.mark.parametrize("name", WRITERS)
def test_blocks_of_a_long_file(tmp_path: Path, name: str) -> None:
    """Blocks are read where they begin, in any order; one that has been changed since is refused."""
    path = tmp_path / name
    path.write_text(WRITERS[name](MANY, ascii_only=False), encoding="utf-8", newline="")
    file = read_items_file(path)
    assert [(block.first, block.size) for block in file.blocks] == [(1, BLOCK_ITEMS), (1001, BLOCK_ITEMS), (2001, 500)]
    assert read_back(file) == MANY
    path.write_bytes(path.read_bytes().replace(b"1500-", b"1501-"))
    assert file.read(file.blocks[0]) == tuple(MANY[:BLOCK_ITEMS])
    with pytest.raises(SettingsError, match="has been changed since it was checked"):
        file.read(file.blocks[1])


def test_what_only_the_upload_json_has(tmp_path: Path) -> None:
    """Groups, series and details come with it; lists of another sort are blocks of their own."""
    path = tmp_path / "x.json"
    frames = {f"objectUrl_{n}": f"s3://b/{n}" for n in (10, 2)}
    lists = {
        "videos": [{"objectUrl": "s3://b/v", "videoMetadata": {"fps": 2.0}}],
        "audio": [],
        "image_groups": [{"title": "G", "createVideo": True, **frames}],
        "dicom_series": [{"title": "S", **frames}],
    }
    path.write_text(json.dumps(lists))
    file = read_items_file(path)
    assert len(file.blocks) == 3
    urls = ("s3://b/2", "s3://b/10")
    assert read_back(file) == [
        CloudFile(type=FileType.VIDEO, url="s3://b/v", details={"fps": 2.0}),
        CloudImageGroup(urls=urls, title="G", as_video=True),
        CloudDicomSeries(urls=urls, title="S"),
    ]
    portion = Portion(files=file, blocks=file.blocks)
    assert portion.count == 3
    assert list(portion.named()) == ["s3://b/v", "s3://b/2", "s3://b/2"]


@given(wished=st.sets(TEXTS, max_size=20), met=st.lists(TEXTS, max_size=20))
def test_urls_are_a_set(wished: set[str], met: list[str]) -> None:
    """Each URL is met once; what was not met can be counted, and told."""
    urls = URLs(map(url_digest, wished))
    assert [urls.meet(url) for url in met] == [
        url in wished and url not in met[:index] for index, url in enumerate(met)
    ]
    assert urls.unmet == len(wished - set(met))
    assert {url for url in wished if urls.has_met(url)} == wished & set(met)


@given(items=st.lists(ITEMS, unique_by=identity_url, max_size=8), number=st.integers(0, 8))
def test_what_is_missing(items: list[CloudFile], number: int) -> None:
    """Of a block what is not in the folder is sent, and nothing else."""
    files = ListedFiles(tuple(items))
    there = URLs(url_digest(one.url) for one in items[:number])
    assert Portion(files=files, blocks=files.blocks).lacking(there) == tuple(items[number:])


URL = '"url": "https://a/x.png"'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", "url,url\nhttps://a/x.png,https://a/y.png\n", "'url' is the name of two columns"),
        ("x.csv", f"url,{'t' * 200_000}\n", "row 1: is not CSV: field larger than field limit"),
        ("x.csv", 'url,metadata\nhttps://a/x.png,"{""a"": 1, ""a"": 2}"\n', "row 1: metadata: 'a' is given twice"),
        ("x.csv", f"url,metadata\nhttps://a/x.png,{'[' * 100_000}\n", "row 1: metadata: is nested too deeply"),
        ("x.jsonl", f'{{{URL}}}\n{{{URL}, "url": "https://a/y.png"}}\n', "row 2: 'url' is given twice in one object"),
        ("x.jsonl", f'{{{URL}, "metadata": {{"a": {"9" * 5000}}}}}\n', "row 1: holds a number with too many digits"),
        ("x.json", '{"images": [{"objectUrl": "a", "objectUrl": "b"}]}', "'objectUrl' is given twice"),
        ("x.json", f'{{"images": [{"9" * 5000}]}}', "row 1: holds a number with too many digits"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    """What is said twice of a file, or of all files, is told with its row: none of the two is taken in silence."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)):
        read_items_file(path)
