"""Documents say what the code says: keys, columns, names of the code, versions, links."""

import ast
import importlib
import inspect
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from docs import site
from docs.config_keys import SCHEMA, keys, text
from stp.data.index import Clip
from stp.datasets.ut_interaction import find_clips
from stp.models.backbones import build_backbone
from stp.training.log import LOG_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
FORMATS = (ROOT / "docs/file_formats.md").read_text()


def schema() -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load(SCHEMA.read_text())
    return loaded


def test_every_key_of_the_schema_is_in_the_configs_readme_and_no_other() -> None:
    table = (ROOT / "config/README.md").read_text()
    documented = set(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE))
    assert documented == {key.name for key in keys(schema())}, "run: make config-docs"
    assert table == text(schema()), "run: make config-docs"


def test_every_key_has_a_meaning_and_says_what_is_allowed() -> None:
    assert [key.name for key in keys(schema()) if not (key.meaning and key.allowed)] == []


def columns(heading: str) -> list[str]:
    """Names in the first table after a heading."""
    table = FORMATS[FORMATS.index(heading) :].split("|:--|:--|\n", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_columns_of_the_index_are_documented() -> None:
    assert columns("## index.csv") == [field.name for field in fields(Clip)]


def test_columns_of_the_log_are_documented() -> None:
    assert columns("`log.csv` has one row an epoch") == list(LOG_COLUMNS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_names_of_the_code_exist(document: Path) -> None:
    for name in set(re.findall(r"(?:`|^::: )(stp(?:\.\w+)+)", document.read_text(), re.MULTILINE)):
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:cut]))
            except ModuleNotFoundError:
                continue
            for part in parts[cut:]:
                found = getattr(found, part)
            break


@pytest.mark.parametrize("function", [find_clips, build_backbone], ids=lambda function: function.__name__)
def test_signatures_are_those_of_the_code(function: Callable[..., object]) -> None:
    def signature(code: str) -> str:
        definition = ast.parse(code).body[0]
        assert isinstance(definition, ast.FunctionDef)
        return f"({ast.unparse(definition.args)}) -> {definition.returns and ast.unparse(definition.returns)}"

    blocks = re.findall(r"```python\n(.+?)\n```", (ROOT / "docs/extending.md").read_text(), re.DOTALL)
    shown = next(block for block in blocks if block.startswith(f"def {function.__name__}("))
    assert signature(shown) == signature(inspect.getsource(function))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_linked_and_named_files_exist(document: Path) -> None:
    words = document.read_text()
    links = [document.parent / link for link in re.findall(r"(?:\]\(|src=\")([^):#\"]+)[)#\"]", words)]
    named = re.findall(r"`((?:benchmarks|config|docs|envs|stp|tests|workflow)/[\w./]+\.\w+)`", words)
    missing = [path for path in [*links, *(ROOT / name for name in named)] if not path.exists()]
    assert [path for path in missing if "NAME" not in path.name and path.name != "config.yaml"] == []


def anchors(text: str) -> set[str]:
    """Names of the headings of a document, as links give them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_headings_lead_to_one(document: Path) -> None:
    for path, anchor in re.findall(r"\]\(([^):#]*)#([^)]+)\)", document.read_text()):
        assert anchor in anchors((document.parent / path if path else document).read_text()), f"{path}#{anchor}"


def test_the_site_has_every_page_once_and_no_other() -> None:
    def pages(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in pages(part)]  # type: ignore[attr-defined]

    nav = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(nav) == sorted([*(path.relative_to(ROOT / "docs").as_posix() for path in PAGES), *site.PAGES])


def test_the_site_needs_no_network() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert settings["theme"]["font"] is False
    assert "offline" in settings["plugins"]
    [script] = [path for path in settings["extra"]["polyfills"] if "iframe-worker" in path]
    assert (ROOT / "docs" / script).is_file()  # else the plugin names one in the network


def test_what_makes_the_site_is_locked_and_not_what_users_install() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    own, users = (
        set(re.findall(r"^([a-z0-9-]+)==", (ROOT / f"envs/{name}.lock").read_text(), re.MULTILINE))
        for name in ("docs", "requirements")
    )
    wanted = {re.split(r"[\[><=]", requirement)[0] for requirement in extras["docs"]}
    assert len(wanted) > 1
    assert wanted <= own
    assert not wanted & users


def test_links_to_files_elsewhere_lead_to_their_pages_in_the_site() -> None:
    assert site.site_links("see [keys](../config/README.md#configuration)", "own-videos.md") == (
        "see [keys](config.md#configuration)"
    )
    assert site.site_links("see [keys](../../config/README.md)", "api/stp.md") == "see [keys](../config.md)"
    assert site.site_links("see [files](file_formats.md)", "results.md") == "see [files](file_formats.md)"
    assert site.site_links("[all](benchmarks/RESULTS.md)", "contributing.md") == "[all](measurements.md)"


@pytest.mark.parametrize("page", [*PAGES, *site.PAGES], ids=str)
def test_pages_of_the_site_link_to_files_that_the_site_has(page: Path | str) -> None:
    name = page if isinstance(page, str) else page.relative_to(ROOT / "docs").as_posix()
    text = (ROOT / site.PAGES[name] if name in site.PAGES else ROOT / "docs" / name).read_text()
    for link in re.findall(r"\]\(([^):#]+)[)#]", site.site_links(text, name)):
        path = (Path(name).parent / link).as_posix()
        known = str(Path(os.path.normpath(path)))
        assert known in site.PAGES or (ROOT / "docs" / known).is_file(), link


def test_keys_that_documents_name_exist() -> None:
    """Keys in the column of keys of choices.md, sections included."""
    known = {key.name for key in keys(schema())}
    sections = {name.rsplit(".", depth)[0] for name in known for depth in range(1, name.count(".") + 1)}
    cells = re.findall(r"\| ([^|]*) \|$", (ROOT / "docs/choices.md").read_text(), re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)}
    assert len(named) > 10
    assert named <= known | sections


def test_citation_has_the_packages_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert "Apache License" in (ROOT / "LICENSE").read_text()
