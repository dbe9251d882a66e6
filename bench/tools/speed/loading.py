"""Images per second for training, beside torchvision's and timm's loaders over JPEG files of ImageNet's size."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from splitbench.bench.backbones import registry
from splitbench.bench.tools.speed.measurement import Measurement, UnavailableError, ratios, time_in_turn
from splitbench.bench.training.batches import Batches
from splitbench.bench.training.methods.examples import Pictures, of_pictures
from splitbench.bench.utils.devices import decoding_thread_count
from splitbench.bench.utils.plugins import DATASETS

_HEIGHT, _WIDTH, _QUALITY = 375, 500, 90  # about 110 KB, as ImageNet's are on average
_COARSE = 16  # pixels per side of what a picture shows
_BATCH = 32
_RESIZE, _CROP = 256, 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AIM = 1.0

Load = Callable[[], object]


def measure_loading(images: int, rounds: int) -> Iterator[Measurement]:
    """Measure loading in seconds of a core, and with as many threads or processes as training takes by the clock.

    All decode, resize to 256 and crop to 224; the others also divide by the standard deviation, which is a step of the
    network here, and takes them a few percent of the time.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_images(root / "val" / "0", images)
        many = decoding_thread_count()
        for workers, clock, unit in ((0, time.process_time, "core"), (many, time.perf_counter, f"{many} workers")):
            loads = {"splitbench": _ours(root), **_others(root / "val", workers)}
            seconds = time_in_turn([*loads.values()], rounds, clock)
            for name, times in zip(loads, seconds, strict=True):
                yield Measurement(f"loading, {unit}: {name}", "images/s", [images / t for t in times])
            for name, times in zip([*loads][1:], seconds[1:], strict=True):
                yield Measurement(
                    f"loading, {unit}: splitbench against {name}", "times", ratios(times, seconds[0]), _AIM
                )


def _write_images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = rng.integers(0, 256, (_HEIGHT // _COARSE, _WIDTH // _COARSE, 3)).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC))
        noisy = (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{index}.jpg", quality=_QUALITY)


def _ours(root: Path) -> Load:
    kind: Any = DATASETS.get("imagenet")
    overrides = {"resize": _RESIZE, "crop": _CROP, "mean": list(_MEAN), "std": list(_STD)}
    backbone = registry.build("torchvision/squeezenet1_1", {}, "none", overrides)
    pictures = Pictures(kind.load(kind.Options(root=root), "evaluation"), backbone)
    examples = of_pictures(pictures, flip=False)

    def load() -> None:
        for data in (examples.train, examples.held_out):
            _drain(Batches(data, _BATCH, torch.device("cpu"), collate=examples.collate))

    return load


def _others(folder: Path, workers: int) -> dict[str, Load]:
    steps = [
        transforms.Resize(_RESIZE),
        transforms.CenterCrop(_CROP),
        transforms.ToTensor(),
        transforms.Normalize(_MEAN, _STD),
    ]
    loader: Any = DataLoader(
        ImageFolder(str(folder), transforms.Compose(steps)),
        _BATCH,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    loads: dict[str, Load] = {"torchvision": lambda: _drain(loader)}
    try:
        from timm.data import ImageDataset, create_loader
    except ImportError as error:
        raise UnavailableError(f"timm is not installed ({error})") from None
    shape = (3, _CROP, _CROP)
    timms = create_loader(
        ImageDataset(str(folder)),
        shape,
        _BATCH,
        use_prefetcher=False,
        num_workers=workers,
        persistent_workers=workers > 0,
        crop_pct=_CROP / _RESIZE,
        device=torch.device("cpu"),
    )
    return loads | {"timm": lambda: _drain(timms)}


def _drain(batches: Iterable[Any]) -> None:
    for _ in batches:
        pass
