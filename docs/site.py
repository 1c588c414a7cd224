"""The pages of the site (mkdocs.yml) beside those in docs: files that lie elsewhere in the repository.

Pages link to them where they lie, so that links work in the repository; in the site these lead to the files' pages.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = {  # page of the site: file of the repository
    "config.md": "config/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "measurements.md": "benchmarks/RESULTS.md",
}
LINK = re.compile(r"(\]\()((?:\.\./)*)([^)#\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages."""
    from mkdocs.structure.files import File

    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to the files become links to their pages."""
    return site_links(markdown, page.file.src_uri)


def site_links(markdown: str, page: str) -> str:
    """The text of a page of the site, such as api/stp.md, with links to files of PAGES turned into links to pages."""
    home = PAGES.get(page, f"docs/{page}")  # where the text lies in the repository
    up = "../" * page.count("/")

    def target(match: re.Match[str]) -> str:
        path = (ROOT / home).parent / match[2] / match[3]
        inside = {(ROOT / source).resolve(): name for name, source in PAGES.items()}
        found = inside.get(path.resolve())
        return f"{match[1]}{up}{found}" if found else match[0]

    return LINK.sub(target, markdown)
