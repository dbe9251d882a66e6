"""A backbone that guesses is reported: its labels may be other classes'."""

from splitbench.bench.results.store import Store
from splitbench.bench.run import runner
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read
from tests.helpers.photographs import write_photographs

SWEEP = """
datasets: [{name: imagenet}]
backbones:
  - {name: torchvision/squeezenet1_1, weights: none, splits: [features.8], preprocessing: {resize: 64, crop: 64}}
methods: [{name: raw, dtype: [float32]}]
"""


def test_a_baseline_at_chance_is_reported(tmp_path):
    for synset in ("n01443537", "n15075141"):
        write_photographs(tmp_path / "data" / "val" / synset, 2, size=64)
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    messages: list[str] = []
    runner.run(read(path), Sources(tmp_path / "data"), Store(tmp_path / "out"), say=messages.append)
    printed = " ".join(messages)
    assert "right no more often than by chance (0.00 % of 1000 classes): is it trained, and are classes" in printed
