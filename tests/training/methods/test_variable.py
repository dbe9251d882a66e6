"""One training for all rate points, from sweep to table."""

import pytest

from splitbench.bench.analysis.compare.cost_table import cost_table
from splitbench.bench.results.table import read
from tests.helpers.command_line import rows, splitbench

SWEEP = """
datasets: [{name: synthetic, limit: 24, train: {limit: 48}, calibration: {limit: 16}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods:
  - {name: bottleneck-variable, lmbda: [0.1, 1, 10], least: 0.1, most: 10, epochs: 1, restore_epochs: 1, batch_size: 16}
  - {name: retrained-variable, lmbda: [0.1, 10], least: 0.1, most: 10, epochs: 1, restore_epochs: 0, batch_size: 16}
batch: 8
"""


@pytest.mark.usefixtures("no_figures")
def test_all_rate_points_share_one_training_whose_costs_count_once(tmp_path, capsys):
    sweep, out = tmp_path / "variable.yaml", tmp_path / "out"
    sweep.write_text(SWEEP)
    assert splitbench("run", sweep, "--out", out) == 0
    table = rows(out)
    assert [row["status"] for row in table] == ["ok"] * 5
    by_method = {name: [row for row in table if row["method"].startswith(name)] for name in ("bottleneck", "retrained")}
    for points in by_method.values():
        assert len({row["training"] for row in points}) == 1 and points[0]["training"]
        sizes = [float(row["bytes_mean"]) for row in points]
        assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]
    assert len(list((out / "trainings").glob("*.safetensors"))) == 2
    curves = sorted(path.name for path in (out / "learning").rglob("*.csv"))
    assert curves == ["lmbda=all.csv"] * 2
    costs = cost_table(read([out])).set_index("method")["train_images"]
    for name, points in by_method.items():
        assert costs[f"{name}-variable"] == float(points[0]["train_images"]) > 0
    # The unit is stored once, and all that is switched is a number and the coder's tables.
    unit, whole = by_method["bottleneck"][0], by_method["retrained"][0]
    assert 0 < float(unit["switch_device_bytes"]) < 0.5 * float(unit["storage_device_bytes"])
    assert float(whole["switch_server_bytes"]) < 0.01 * float(whole["storage_server_bytes"])

    sweep.write_text(SWEEP.replace("[0.1, 1, 10]", "[0.1, 0.4, 1, 10]"))  # any lambda between costs no training
    capsys.readouterr()
    assert splitbench("run", sweep, "--out", out) == 0
    said = capsys.readouterr()
    assert "1 cell run, 5 kept, 0 failed" in said.out and "training 1 of" not in said.out + said.err
