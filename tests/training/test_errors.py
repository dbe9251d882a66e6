"""What goes wrong is reported in a sentence, early, and the best weights are kept."""

import math

import pytest
from torch import nn

from splitbench.bench import training
from splitbench.bench.training import TrainingError
from splitbench.bench.utils import progress
from tests.helpers.training_samples import blobs, fit, network, recipe, same


def test_a_loss_that_explodes_is_an_error_and_the_best_weights_are_kept(tmp_path):
    steps = []

    def breaks_in_epoch_3(net, batch):
        measures = training.classify()(net, batch)
        if net.training:
            steps.append(1)
            if len(steps) > 20:
                measures["loss"] = measures["loss"] * math.nan
        return measures

    good, whole = fit(epochs=4)
    model = network()
    path = tmp_path / "state.pt"
    with pytest.raises(TrainingError, match=r"nan in epoch 3 of 4 \(step 21\).*those after epoch 2.*lower") as caught:
        fit(model, step=breaks_in_epoch_3, epochs=4, options={"checkpoint": path})
    report = caught.value.report
    assert [row["loss"] for row in report.history] == [row["loss"] for row in whole.history[:2]]
    assert (
        training.validate(model, training.classify(), blobs(seed=1), batch_size=32)["loss"] == report.history[1]["loss"]
    )
    assert not model.training
    # The checkpoint is of epoch 2: with the fault mended, training goes on from there.
    mended, _ = fit(epochs=4, options={"checkpoint": path})
    assert same(mended, good)


def test_a_loss_that_explodes_in_validation_is_an_error_too():
    def breaks(net, batch):
        measures = training.classify()(net, batch)
        return measures if net.training else measures | {"loss": measures["loss"] / 0}

    model = network()
    with pytest.raises(TrainingError, match=r"held-out images is inf in epoch 1 .* the initial ones"):
        fit(model, step=breaks)
    assert same(model, network())


@pytest.mark.parametrize(
    ("data", "held_out", "what"),
    [
        (blobs(0), blobs(8), "no training data"),
        (blobs(8), blobs(0), "no held-out data"),
        (iter(blobs(8)), blobs(8), "no training data"),
    ],
)
def test_no_data_is_an_error(data, held_out, what):
    with pytest.raises(TrainingError, match=what):
        training.train(network(), training.classify(), data, held_out, recipe(), show=progress.silent)


def test_nothing_to_train_is_an_error():
    with pytest.raises(TrainingError, match="no parameter of the model requires a gradient"):
        fit(network().requires_grad_(False))
    with pytest.raises(TrainingError, match="no parameter of the model requires a gradient"):
        fit(nn.ReLU())


def test_a_measure_that_the_step_does_not_give_is_an_error_before_the_first_epoch():
    trained = []

    def step(net, batch):
        trained.append(net.training)
        return training.classify()(net, batch)

    with pytest.raises(TrainingError, match=r"measures loss, accuracy, .* add ap"):
        fit(step=step, best="ap")
    assert not any(trained)


def test_lower_precisions_are_refused_on_the_cpu():
    with pytest.raises(TrainingError, match="bfloat16 needs a CUDA device, and the model is on the cpu"):
        fit(precision="bfloat16")
