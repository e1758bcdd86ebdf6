"""README, ARCHITECTURE and docs/: what they name is there, and their examples are what the code takes and gives."""

import ast
import importlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from edge_double import shared_house

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
import make_settings_table

from rfq import cli, demo, settings
from rfq.api import answers, parse
from rfq.api.messages import RfqBody
from rfq.domain.values import Symbol
from rfq.instruments import directory

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGES = ("rfq", "dealers", "lit_router", "ml", "db")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CURL_BODY = re.compile(r"/v1/(?:rfqs|plans)\b[^']*-d '(.*?)'", re.DOTALL)
ASIDE = {"curl", "export", "python"}
"""Commands of examples that are not ours."""


@cache
def blocks(page: Path, kind: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == kind]


@cache
def spans(page: Path) -> list[str]:
    """What stands in backticks outside of blocks, line ends as blanks."""
    prose = FENCE.sub("", page.read_text())
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def every(pattern: str) -> list[Any]:
    """(page, span) of all pages, where the whole span is like `pattern`."""
    found = [(page, span) for page in PAGES for span in spans(page) if re.fullmatch(pattern, span)]
    assert found, f"no page says anything like {pattern}"
    return [pytest.param(*one, id=f"{one[0].name}: {one[1]}") for one in dict.fromkeys(found)]


@cache
def sources() -> dict[str, str]:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    files += [*(ROOT / "docs").glob("*.py"), *(ROOT / "tests").rglob("*.py")]
    return {str(path.relative_to(ROOT)): path.read_text() for path in files}


def names_in(source: str) -> Iterator[str]:
    """What a module defines at its top, and `Class.method`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{inner.name}"


# --- what is named is there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(("page", "span"), every(r"(?!/|~|postgres/)[\w./-]+(/|\.py|\.md)"))
def test_files_are_there(page: Path, span: str) -> None:
    """By path from the root or the page; a bare name of a module may stand anywhere in the packages."""
    bare = "/" not in span and any(path.endswith("/" + span) for path in sources())
    assert bare or (ROOT / span).exists() or (page.parent / span).exists()


@pytest.mark.parametrize(("page", "span"), every(r"[\w./]+\.py: [\w.]+"))
def test_functions_are_where_they_are_said_to_be(page: Path, span: str) -> None:
    path, _, name = span.partition(": ")
    assert name in set(names_in(sources()[path]))


@pytest.mark.parametrize(("page", "span"), every(rf"({'|'.join(PACKAGES)})(\.\w+)+"))
def test_modules_can_be_imported(page: Path, span: str) -> None:
    if span.endswith((".py", ".md", ".toml")):
        pytest.fail("a file, not a module: write its folder too")
    parts = span.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return
    pytest.fail(f"no module {span}")


@pytest.mark.parametrize(("page", "span"), every(r"[A-Za-z]+_\w+|[A-Z]\w+[a-z]\w*(\.\w+)?"))
def test_names_are_used_in_the_code(page: Path, span: str) -> None:
    if span.startswith("SOTTO_"):
        return
    for name in span.split("."):
        bare = name.removeprefix("sotto_")  # Some metrics get their prefix where they are made.
        assert any(re.search(rf"\b({name}|{bare})\b", source) for source in sources().values())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_are_settings(page: Path) -> None:
    known = {variable for variable, *_ in settings.table()} | settings.ELSEWHERE
    assert not set(re.findall(r"\bSOTTO_\w+", page.read_text())) - known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_routes_are_served(page: Path) -> None:
    served = [re.sub(r"\{[^}]*\}", "{}", route.path_format) for route in shared_house().app.routes]
    for path in re.findall(r"(?<![\w.{}])(/(?:v1|health)/[\w/{}-]+|/metrics\b|/schema\b)", page.read_text()):
        plain = re.sub(r"\{[^}]*\}|rfq-[0-9a-f]{24}", "{}", path.rstrip("/"))
        assert plain in served, path


def test_every_room_is_in_the_architecture() -> None:
    rooms = {path.rpartition("/")[0] + "/" for path in sources() if path.startswith(PACKAGES)}
    said = set(spans(ROOT / "ARCHITECTURE.md"))
    assert not {room for room in rooms if "versions" not in room} - said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_plain_characters(page: Path) -> None:
    assert page.read_text().isascii()


# --- commands ------------------------------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[list[str]]:
    """Each command of the page's shell blocks as words, without the variables set before it and its redirection."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").split("\n"):
            if re.match(r"\s*-d '", line) or (line.startswith(" ") and line.rstrip().endswith("'")):
                continue  # The body of a curl goes on.
            words = shlex.split(line.partition(" -d '")[0], comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if ">" in words:
                words = words[: words.index(">")]
            if words:
                yield words


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def rfq_commands_of_the_makefile() -> list[str]:
    return re.findall(r"\$\(BIN\)/rfq ([a-z ]+?) \$\(ARGS\)", (ROOT / "Makefile").read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_examples_are_taken(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in make_targets(), words
            continue
        if words[0] != "rfq":
            assert words[0] in ASIDE, words
            continue
        try:
            cli._parser().parse_args(words[1:])
        except SystemExit:
            pytest.fail(f"{' '.join(words)}: {capsys.readouterr().err}")


@pytest.mark.parametrize(("page", "span"), every(r"(rfq|make) [^=]+"))
def test_commands_in_the_text_exist(page: Path, span: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = span.split()
    if words[0] == "make":
        assert words[1] in make_targets()
        return
    # Help is given once the subcommands before it are known.
    with pytest.raises(SystemExit) as left:
        cli._parser().parse_args([*words[1:], "--help"])
    assert left.value.code == 0, capsys.readouterr().err


def test_the_parser_of_commands_sees_them() -> None:
    """A page whose commands were not recognised would pass anything."""
    seen = {" ".join(words[:3]) for words in commands(README)}
    assert {"rfq serve", "make demo", "rfq dealers check", "rfq replay --book"} <= seen


# --- examples ------------------------------------------------------------------------------------------------------


def test_the_table_of_settings_is_fresh() -> None:
    text = README.read_text()
    assert make_settings_table.page(text) == text, "run python docs/make_settings_table.py"


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "http.md"], ids=lambda page: page.name)
def test_the_request_of_the_example_is_taken(page: Path) -> None:
    instruments = {symbol: listing.instrument for symbol, listing in directory().items()}
    bodies = CURL_BODY.findall(page.read_text())
    assert bodies
    for body in bodies:
        terms, instrument = parse.terms(parse.BodyReader(RfqBody).read(body.encode()), instruments)
        assert instrument.symbol == Symbol("QDI") and terms.leg.quantity > 0


def test_the_answers_of_the_example_are_what_is_answered() -> None:
    kinds: list[type[Any]] = [answers.RfqAnswer, answers.RfqAnswer, answers.AwardAnswer]
    shown = blocks(README, "json")
    assert len(shown) == len(kinds)
    for text, kind in zip(shown, kinds, strict=True):
        said = json.loads(text.replace("{...}", "{}"))
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for name, value in said.items():
            assert name in fields, name
            if value and name not in ("allocations", "arrival"):
                msgspec.convert(value, fields[name], strict=False)
        for name, inner in (("arrival", answers.ArrivalAnswer), ("allocations", answers.AllocationAnswer)):
            held = said.get(name, [])
            for one in held if isinstance(held, list) else [held]:
                assert set(one) <= set(inner.__struct_fields__)


def test_the_table_of_the_demonstration_has_its_columns() -> None:
    head, *_, notes = demo.as_table([]).partition("\n\n")
    assert head in README.read_text() and notes in README.read_text()


def test_what_the_makefile_runs_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for words in rfq_commands_of_the_makefile():
        with pytest.raises(SystemExit) as left:
            cli._parser().parse_args([*words.split(), "--help"])
        assert left.value.code == 0, f"rfq {words}: {capsys.readouterr().err}"
