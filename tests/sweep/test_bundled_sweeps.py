"""The bundled sweeps work from any folder, and so does what is copied out of them."""

import subprocess
import sys

import pytest
import yaml

from splitbench.bench.sweep.configs import SWEEPS

CHECK = """
import sys
from pathlib import Path
from splitbench.bench.backbones import registry
from splitbench.bench.sweep.configs import SWEEPS
from splitbench.bench.sweep.cells import expand
from splitbench.bench.sweep.reading import read

for name in SWEEPS.names():
    copied = Path(f"{name}.yaml")
    copied.write_text(SWEEPS.get(name).read_text(encoding="utf-8"), encoding="utf-8")
    bundled = read(SWEEPS.get(name))
    assert [*expand(read(copied))] == [*expand(bundled)], name
    for spec in bundled.backbones:
        if spec.name.startswith("splitbench/"):
            registry.build(spec.name, spec.args, "none", spec.preprocessing)
    print(name)
"""


def run(folder, *words):
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)  # noqa: S603


def test_every_sweep_and_its_copy_are_read_from_an_empty_folder(tmp_path):
    done = run(tmp_path, "-c", CHECK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == SWEEPS.names() and not done.stderr


def test_a_sweep_validates_from_an_empty_folder(tmp_path):
    done = run(tmp_path, "-m", "splitbench.bench", "validate", "scaling")
    assert done.returncode == 0, done.stderr
    for name in ("cifar", "coco-pack"):
        done = run(tmp_path, "-m", "splitbench.bench", "validate", name)
        assert done.returncode == 2 and "needs a folder: name it by --data" in done.stderr


@pytest.mark.parametrize("name", SWEEPS.names())
def test_no_sweep_names_code_by_import_path(name):
    sweep = yaml.safe_load(SWEEPS.get(name).read_text(encoding="utf-8"))
    assert not [
        spec["name"] for kind in ("datasets", "backbones", "methods") for spec in sweep[kind] if ":" in spec["name"]
    ]


def test_cifar_validates_with_data_from_an_empty_folder(pack, tmp_path):
    weights = tmp_path / "results" / "cifar" / "resnet20.safetensors"
    weights.parent.mkdir(parents=True)
    weights.symlink_to(pack / "weights" / "cifar10_resnet20.safetensors")
    done = run(
        tmp_path, "-m", "splitbench.bench", "validate", "cifar", "--data", pack / "cifar10", "--only", "resnet20"
    )
    assert done.returncode == 0, done.stderr
    assert "63 cells" in done.stdout
