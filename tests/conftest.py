"""Fixtures shared by all tests."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # the networks are tiny: threads would wait for one another


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real clips beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real clips: {folder} does not exist")
    return folder
