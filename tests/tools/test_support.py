"""The support table: rows, the file that grows by them, and its summary."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from torch import Tensor, nn

from splitbench.bench.tools.support import support_table
from splitbench.bench.tools.support.support import Support, family, matching, random_model, support
from splitbench.bench.tools.support.support_table import extend_table, read, summary
from splitbench.bench.utils.errors import UserError
from tests.helpers.split_networks import resnet


class Measuring:
    """Lists the models that are measured, at no cost; the user stops the measuring of "stop"."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, missing: Iterable[str]) -> Iterator[Support]:
        for name in missing:
            if name == "stop":
                raise KeyboardInterrupt
            self.names.append(name)
            yield Support(name, "resnet", "fx", 3, "layer2", "1", "yes", "128 160", "yes", "0.5")


@pytest.fixture
def measure() -> Measuring:
    return Measuring()


def test_a_table_is_extended_by_what_it_lacks(tmp_path: Path, measure: Measuring):
    file = tmp_path / "new" / "support.csv"
    with pytest.raises(KeyboardInterrupt):
        list(extend_table(file, ["timm/b", "stop", "timm/a"], measure))
    assert [row["model"] for row in read(file)] == ["timm/b"]
    list(extend_table(file, ["timm/b", "timm/a"], measure))
    assert measure.names == ["timm/b", "timm/a"]
    assert [row["model"] for row in read(file)] == ["timm/a", "timm/b"]
    assert read(file)[0]["seconds"] == "0.5"
    assert "| timm | 2 | 1 | 2 |" in file.with_suffix(".md").read_text()


def test_rows_of_other_versions_are_measured_again(tmp_path: Path, measure: Measuring, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "support.csv"
    list(extend_table(file, ["timm/a", "timm/b"], measure))
    monkeypatch.setattr(support_table, "versions", lambda: "timm=9")
    list(extend_table(file, ["timm/a"], measure))
    assert measure.names == ["timm/a", "timm/b", "timm/a"]
    assert [row["versions"] == "timm=9" for row in read(file)] == [True, False]


@pytest.mark.parametrize("content", [b"", b"key,task\n1,2\n", b"\xff\xfe\x00"])
def test_another_file_is_left_alone(tmp_path: Path, measure: Measuring, content: bytes):
    file = tmp_path / "cells.csv"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"cells\.csv"):
        list(extend_table(file, ["timm/a"], measure))
    assert file.read_bytes() == content
    assert not measure.names


def test_the_summary_names_what_is_not_so():
    good = support_table.as_row(Support("timm/a", "resnet", "fx", exact="yes", sizes="128 160", trains="yes"))
    bad = support_table.as_row(Support("timm/b", "odd", reason="it looks at values"))
    finder = support_table.as_row(Support("torchvision/ssd300_vgg16", "ssd", "fx", exact="yes", trains="yes"))
    text = summary([good, bad, finder])
    assert "| timm | 2 | 1 | 1 | 1 | 1 | 1 | 0.0 s |" in text
    assert "| torchvision, detectors | 1 | 1 | 1 |" in text
    assert "| timm/b | no |  | it looks at values |" in text
    assert "| timm/a |" not in text


def test_a_row_says_of_a_boundary_and_of_the_inside_of_a_block():
    row = support("mine", resnet())
    assert (row.how, row.exact, row.trains, row.reason, row.family) == ("fx", "yes", "yes", "", "")
    assert (row.tried, row.tensors) == ("layer3 layer3.0.bn2", "1 2")
    assert row.sizes == "128 160"
    assert row.mparameters == f"{sum(p.numel() for p in resnet().parameters()) / 1e6:.2f}"


class Doubled(nn.Module):
    """In train mode it does something that no graph of the eval mode has."""

    def __init__(self) -> None:
        super().__init__()
        self.network = resnet()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) * (2 if self.training else 1)


def test_a_row_says_where_train_mode_is_another_network():
    row = support("mine", Doubled())
    assert (row.exact, row.trains) == ("yes", "no")


def test_models_are_named_by_patterns_and_know_their_family():
    names = matching(["torchvision/resnet1?", "timm/test_vit", "timm/unknown_model"])
    assert names == ["torchvision/resnet18", "timm/test_vit", "timm/unknown_model"]
    assert [family(name) for name in names] == ["resnet", "vision_transformer", ""]
    assert family("torchvision/ssd300_vgg16") == "ssd"
    with pytest.raises(UserError, match="unknown model"):
        random_model("timm/unknown_model")
