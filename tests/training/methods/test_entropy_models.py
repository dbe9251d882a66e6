"""Units with a hyperprior, from sweep to table: what is coded, stored and computed for it."""

from tests.helpers.command_line import rows, splitbench

SWEEP = """
datasets: [{name: synthetic, limit: 16, train: {limit: 32}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods:  # a fine step: after one epoch a side latent of few symbols would be all zeros
  - {name: bottleneck, lmbda: [0.1, 1], step: 0.02, epochs: 1, next_epochs: 1, start: neighbour}
  - {name: bottleneck, lmbda: [0.1, 1], step: 0.02, epochs: 1, next_epochs: 1, start: neighbour, rate: estimator}
  - {name: bottleneck, lmbda: [0.1, 1], step: 0.02, epochs: 1, next_epochs: 1, start: neighbour, unit: hyperprior}
batch: 8
"""


def test_a_hyperprior_costs_where_it_is_deployed(tmp_path, request):
    request.getfixturevalue("no_figures")
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    assert splitbench("run", path, "--out", tmp_path / "out") == 0
    table = rows(tmp_path / "out")
    assert len(table) == 6 and {row["status"] for row in table} == {"ok"}
    curves = {word: row for row in table for word in ("estimator", "hyperprior") if word in row["variant"]}
    estimator, hyper = curves["estimator"], curves["hyperprior"]
    plain = next(row for row in table if row["variant"] not in (estimator["variant"], hyper["variant"]))
    for row in (plain, estimator):
        assert row["side_bytes"] == "0" and row["macs_encoder"] == plain["macs_encoder"]
    assert 0 < float(hyper["side_bytes"]) < float(hyper["bytes_mean"])
    # A latent of 24 channels and 3 x 3 places has a side latent of 8 at 2 x 2: depthwise 3 x 3 and 1 x 1, either way.
    of_a_network = 4 * (24 * 9 + 24 * 8)
    assert int(hyper["macs_encoder"]) - int(plain["macs_encoder"]) == 2 * of_a_network
    assert int(hyper["macs_decoder"]) - int(plain["macs_decoder"]) == of_a_network
