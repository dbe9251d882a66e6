"""Accuracy records and intervals against published and hand-computed numbers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from splitbench.bench.metrics import accuracy, rate
from splitbench.methods import Bitstream, MethodError
from splitbench.methods.base import Context, TensorSpec
from splitbench.methods.label_only import METHOD


def test_records_of_hand_made_scores():
    scores = torch.tensor([[9.0, 8, 7, 6, 5, 4], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]])
    record = accuracy.record(scores, np.array([0, 1, 0]))
    assert record["prediction"].tolist() == [0, 5, 5]
    assert record["top1"].tolist() == [1, 0, 0]
    assert record["top5"].tolist() == [1, 1, 0]


def test_classes_that_were_not_sent_count_as_wrong_and_leave_top5_open():
    scores = torch.full((2, 6), -torch.inf)
    scores[0, 3], scores[1, 2] = 0.0, 0.0
    record = accuracy.record(scores, np.array([3, 3]))
    assert record["top1"].tolist() == [1, 0]
    assert record["top5"].tolist() == [-1, -1]
    assert accuracy.summary(record, record)["top5"] is None


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_of_equal_scores_the_first_class_is_reported_by_the_network_and_by_label_only(classes, seed):
    random = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 3, (4, classes), generator=random).bfloat16().float()  # half precision has many ties
    labels = np.zeros(4, np.int64)
    printed = accuracy.record(scores, labels)
    assert printed["prediction"].tolist() == [row.index(max(row)) for row in scores.tolist()]
    for k in {1, min(5, classes)}:
        specs = (TensorSpec((classes,), torch.float32),)
        codec = METHOD.deploy(METHOD.Settings(k=k), Context(nn.Identity(), nn.Identity(), specs, lambda: ())).codec
        (received,) = codec.decode([stream.data for stream in codec.encode((scores,))], specs)
        assert accuracy.record(received, labels)["prediction"].tolist() == printed["prediction"].tolist()


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(MethodError, match="NaN"):
        accuracy.record(torch.tensor([[0.0, float("nan")]]), np.array([0]))


def test_wilson_interval_of_a_published_example():
    # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I: 81 of 263 by the score method.
    assert accuracy.interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def paired(both, only_a, only_b, neither):
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return accuracy.paired_difference(a, b)


Z2 = 1.959964**2  # of the 95 % interval


def test_paired_difference_without_a_single_hit_is_wilsons_limit():
    # Wilson's upper limit of 0 of n is z^2 / (n + z^2), and there is no correlation to speak of.
    limit = Z2 / (30 + Z2)
    assert paired(0, 0, 0, 30) == pytest.approx((0.0, -limit, limit), abs=1e-6)


def test_paired_difference_of_unrelated_answers_adds_squares():
    # Both at 20 of 40, phi = 0: Wilson's half width is z / 2 / sqrt(n + z^2), and two of them add as squares.
    half = math.sqrt(Z2) / 2 / math.sqrt(40 + Z2) * math.sqrt(2)
    assert paired(10, 10, 10, 10) == pytest.approx((0.0, -half, half), abs=1e-6)


def test_paired_difference_is_narrower_the_more_the_answers_agree():
    widths = [high - low for _, low, high in (paired(10 + k, 10 - k, 10 - k, 10 + k) for k in (0, 4, 8, 10))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] > 0  # agreeing on every image of 40 is no certainty


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_paired_difference_lies_in_its_interval_and_changes_sign_with_the_order(both, only_a, only_b, neither):
    if both + only_a + only_b + neither == 0:
        return
    difference, low, high = paired(both, only_a, only_b, neither)
    assert -1 <= low <= difference + 1e-12 and difference - 1e-12 <= high <= 1
    swapped = paired(both, only_b, only_a, neither)
    assert swapped == pytest.approx((-difference, -high, -low), abs=1e-9)


def test_rate_columns_add_up():
    streams = [Bitstream(bytes(100), side=10, framing=2), Bitstream(bytes(50), side=10, framing=2)]
    columns = rate.summary(rate.record(streams), pixels=600, elements=1000)
    assert columns["bytes_mean"] == 75 and columns["bytes_max"] == 100
    assert columns["payload_bytes"] + columns["side_bytes"] + columns["framing_bytes"] == columns["bytes_mean"]
    assert columns["bits_per_pixel"] == 1.0 and columns["bits_per_element"] == 0.6
    assert columns["ratio"] == pytest.approx(4000 / 75)
