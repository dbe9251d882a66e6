"""Files and folders that options name."""

from pathlib import Path

import pytest

from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import file_for, folder_for


def test_a_tilde_at_the_start_of_an_option_is_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder_for(Path("~/out"), "--out") == tmp_path / "out"
    assert file_for(Path("~/out/a.png"), "--plot", "splits.png") == tmp_path / "out" / "a.png"
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="is a folder: --plot takes a file"):
        file_for(Path("~/taken"), "--plot", "splits.png")
