"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:  # playwright is imported by the tests that need it: all others run without it
    from playwright.sync_api import Browser, Page

torch.set_num_threads(1)  # the networks are tiny: threads would wait for one another
settings.register_profile("stp", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test asserts a time
settings.load_profile("stp")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests for GPUs where there is none (`make test-gpu` runs them), and large ones unless `-m` asks for them."""
    asked = "large" in config.getoption("markexpr")
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no GPU"))
        if item.get_closest_marker("large") and not asked:
            item.add_marker(pytest.mark.skip(reason="large: pytest -m large runs it"))


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Locks of trainings that run beside the tests, and what tests leave, are not in one folder."""
    folder = str(tmp_path_factory.mktemp("tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real clips beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real clips: {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def tiny_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a demo of 14 clips: videos, index, fold, shards of rgb and of, and trained, scored runs."""
    from tests.tiny_results import make_results  # not every test needs all of the package

    return make_results(tmp_path_factory.mktemp("tiny") / "results")


CHROMIUM = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, headless; tests that need it are skipped where it or playwright is missing."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason="no browser: playwright is not installed")
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(CHROMIUM)} is installed")
    with playwright_api.sync_playwright() as playwright, playwright.chromium.launch(executable_path=found) as browser:
        yield browser


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function that gives a folder with so many bytes of room; only root may mount such a disk."""
    if os.geteuid():
        pytest.skip("small disks are mounted by root alone")
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
        )
        if made.returncode:
            pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def offline(browser: Browser) -> Iterator[Page]:
    """A page without network; whatever it asks of any host, and every error of its scripts, fails the test."""
    with browser.new_context(offline=True) as context:
        page, asked, errors = context.new_page(), [], []
        context.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(error.message))
        yield page
        assert [url[:200] for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert errors == []
