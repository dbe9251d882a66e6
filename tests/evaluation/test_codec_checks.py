"""Faults of users' codecs that no shape reveals: detected in every run, and no other cell suffers from them."""

import hashlib
import threading

import pytest
import torch

from splitbench.bench.evaluation.checks import codec_checks
from splitbench.bench.results.store import Store
from splitbench.bench.run import runner
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.split import specs_of
from splitbench.bench.sweep.reading import read
from splitbench.methods.base import Bitstream, MethodError
from tests.helpers.command_line import rows
from tests.helpers.faulty_codecs import Halving, OfTheBatch, SoundCodec, TooFew


class Keeping(SoundCodec):
    """Sends a digest, and remembers the image."""

    def __init__(self):
        self.kept = {}

    def encode(self, cut):
        rows = [tuple(x[i : i + 1].clone() for x in cut) for i in range(len(cut[0]))]
        names = [hashlib.sha256(row[0].numpy().tobytes()).digest()[:2] for row in rows]
        self.kept.update(zip(names, rows, strict=True))
        return [Bitstream(name) for name in names]

    def decode(self, streams, specs):
        results = [self.kept[data] for data in streams]
        return tuple(torch.cat(parts) for parts in zip(*results, strict=True))


class KeepingBesideALock(Keeping):
    """Holds what cannot be copied, too."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class InOrder(SoundCodec):
    """Decodes the first bitstream of a batch otherwise than the others."""

    def decode(self, streams, specs):
        (values,) = super().decode(streams, specs)
        return (values * torch.arange(1.0, len(streams) + 1).view(-1, *[1] * (values.dim() - 1)),)


class Rounding(SoundCodec):
    """As a network does, it decodes to other last bits in a batch than alone."""

    def decode(self, streams, specs):
        return tuple(x * (1 + 1e-6 * len(x)) for x in super().decode(streams, specs))


CUTS = [(torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(i)),) for i in range(6)]


def check(codec, cuts=CUTS):
    codec_checks.check(codec, cuts, lambda cut: specs_of(cut, ("",)))


@pytest.mark.parametrize(
    ("codec", "fault"),
    [
        (OfTheBatch(), "bytes depend on the others"),
        (InOrder(), "depends on more than its bytes"),
        (TooFew(), "gave 1 bitstream for 4 images"),
        (Halving(), "decoded .* instead of"),
        (Keeping(), None),
        (KeepingBesideALock(), None),
    ],
)
def test_what_depends_on_others_is_reported(codec, fault):
    with pytest.raises((MethodError, KeyError), match=fault):
        check(codec)


def test_what_cannot_be_copied_is_shared_and_named(caplog):
    class Locking(SoundCodec):
        def __init__(self):
            self.lock = threading.Lock()

    check(Locking())
    assert "Locking.lock cannot be copied (TypeError" in caplog.text


def test_what_does_not_passes():
    check(SoundCodec())
    check(Rounding())
    check(SoundCodec(), CUTS[:1])
    check(SoundCodec(), [CUTS[0], (torch.rand(1, 3, 5, 5),)])  # images of several sizes


CHANGING = """
import sys

import torch

from splitbench.methods import raw
from splitbench.methods.base import Deployment


class Changing(type(raw.METHOD)):
    def deploy(self, settings, context):
        there = super().deploy(settings, context)
        return Deployment(there.head, Codec(there.codec), there.tail)


class Codec:
    def __init__(self, codec):
        self.codec = codec

    def encode(self, cut):
        for x in cut:
            x.numpy().fill(0)
        return self.codec.encode(cut)

    def decode(self, streams, specs):
        return self.codec.decode(streams, specs)


class Leaving(type(raw.METHOD)):
    def deploy(self, settings, context):
        sys.exit("this method gives up")


METHOD, LEAVING = Changing(), Leaving()
"""
SWEEP = """
datasets: [{name: synthetic, limit: 12}]
backbones: [{name: splitbench/small_resnet, splits: [layer2, layer3]}]
methods:
  - {name: "changing:METHOD", dtype: [float32]}
  - {name: "changing:LEAVING", dtype: [float32]}
  - {name: raw, dtype: [float32]}
  - {name: quantize-rle, bits: [4]}
batch: 4
"""


def test_a_codec_that_writes_into_its_cut_changes_no_other_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "changing.py").write_text(CHANGING)
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    result = runner.run(read(path), Sources(), Store(tmp_path / "out"))
    line = CHANGING.splitlines().index('        sys.exit("this method gives up")') + 1
    assert [reason for _, reason in result.failed] == [
        f"SystemExit: this method gives up (changing.py, line {line})"
    ] * 2
    path.write_text("\n".join(line for line in SWEEP.splitlines() if "changing" not in line))
    runner.run(read(path), Sources(), Store(tmp_path / "alone"))
    alone = {row["key"]: row for row in rows(tmp_path / "alone")}
    for row in rows(tmp_path / "out"):
        if row["key"] in alone:
            expected = alone[row["key"]]
            assert all(row[name] == expected[name] for name in ("accuracy", "bytes_mean"))
    assert len(alone) == 4
