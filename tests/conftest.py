"""Small generated data for all tests, and the pack of real weights and photographs where it is present."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from splitbench.bench.cli import results
from tests.helpers.hostile import Harm
from tests.helpers.photographs import photographs_in
from tests.helpers.small_sweep import SMALL

# As many threads here as in the processes that tests start. Batches are small: threads cost more than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
settings.register_profile("splitbench", deadline=None)  # machines are noisy, and numba compiles at first use
settings.load_profile("splitbench")

_PACK = Path(os.environ.get("SPLITBENCH_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Digests of images are not kept among the user's."""
    os.environ["SPLITBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return photographs_in(tmp_path / "data")


@pytest.fixture(scope="session")
def pack() -> Path:
    """The pack of real weights and labelled photographs; tests that need it skip where it is absent."""
    if not (_PACK / "PROVENANCE.md").is_file():
        pytest.skip("the pack of real weights and photographs is not here (SPLITBENCH_REALDATA names it)")
    return _PACK


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A sweep's file; tests change its text."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without comparison and figures, which are most of a small run's time."""
    monkeypatch.setattr(results, "conclude", lambda *_: None)
    monkeypatch.setattr(results, "print_conclusion", lambda *_: None)


@pytest.fixture
def harm(tmp_path: Path) -> Iterator[Harm]:
    """An object that does harm where it is unpickled; the test fails if it was."""
    file = tmp_path / "harm"
    yield Harm(file)
    assert not file.exists()
