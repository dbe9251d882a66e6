"""learned-image: the photograph itself, by a learned codec of CompressAI's zoo; the server runs the whole backbone.

What is coded is what the network would see, as in ``image``. Its sides are padded to a multiple of the codec's stride
with the edge's pixels, and cropped again. Of each ``model`` of the zoo there are several, trained for a ``metric`` and
for different rates: ``quality`` 1 to 8, to 6 for those after Cheng et al.

``weights: hub`` loads CompressAI's from where it publishes them; a path loads a file of such weights (with other
sizes of the networks, too); with ``none`` they are random, which is for tests.

The codec's networks run on the CPU of each side, because with a hyperprior both must come to the same floats: values
are decoded by what it predicts. Where arithmetic differs from the encoder's, a bitstream is refused or decodes to
another picture.

Bitstream of one image, by CompressAI's entropy coder (``coding/image/rans.py``):

    length of z   4 bytes, little-endian     framing; absent without a hyperprior
    z             a rANS stream              side information; absent without a hyperprior
    y             a rANS stream
"""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from safetensors.torch import load_file
from torch import Tensor, nn

from splitbench.methods import base
from splitbench.methods.base import Bitstream, BitstreamError, Context, Cut, Deployment, MethodError, Specs
from splitbench.methods.coding.image.zoo_model import ZooModel

_LENGTH = 4
_CHENG = ("cheng2020-anchor", "cheng2020-attn")
_MOST_CHENG = 6


class Settings(base.Settings):
    """``quality`` is the knob: which of the zoo's weights."""

    quality: int = Field(ge=1, le=8)
    model: Literal[
        "bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "mbt2018", "cheng2020-anchor", "cheng2020-attn"
    ] = "bmshj2018-hyperprior"
    metric: Literal["mse", "ms-ssim"] = "mse"
    weights: Literal["none", "hub"] | base.File = Field(default="hub", union_mode="left_to_right")

    @model_validator(mode="after")
    def _possible(self) -> "Settings":
        if importlib.util.find_spec("compressai") is None:
            raise ValueError("learned-image needs CompressAI, which there is for Python 3.11 and 3.12: use one of them")
        if self.model in _CHENG and self.quality > _MOST_CHENG:
            raise ValueError(f"`quality` is 1 to {_MOST_CHENG} for {self.model}")
        if self.weights != "hub" and self.metric != "mse":
            raise ValueError("`metric` chooses among the published weights: leave it out with others")
        return self


class LearnedImage:
    """A picture by a learned codec."""

    summary: ClassVar[str] = "the photograph by a learned codec of CompressAI's zoo; everything else runs on the server"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "quality"
    rates: ClassVar[tuple[Any, ...]] = (1, 2, 3, 4, 5, 6)
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    only_at: ClassVar[str | None] = "input"
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Load the codec. Raises MethodError where the network's input is not a picture, or weights are missing."""
        (spec,) = context.specs
        if spec.dtype != torch.uint8 or len(spec.shape) != 3 or spec.shape[0] != 3:
            raise MethodError(f"learned-image needs a picture of three bytes a pixel, not {spec.dtype} {spec.shape}")
        codec = _Codec(ZooModel(_load(settings, context.seed)))
        return Deployment(context.head, codec, context.tail, *codec.model.sides())


def _load(settings: Settings, seed: int) -> nn.Module:
    from compressai.zoo import image as zoo

    architecture = zoo.model_architectures[settings.model]
    if settings.weights == "none":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random: nn.Module = architecture(*zoo.cfgs[settings.model][settings.quality])
            return random
    if isinstance(settings.weights, base.File):
        source = str(settings.weights)
        state = _file(settings.weights.path)
    else:
        source = zoo.model_urls[settings.model][settings.metric][settings.quality]
        state = _hub(source)
    try:
        loaded: nn.Module = architecture.from_state_dict(zoo.load_pretrained(state))
    except Exception as error:  # whatever a file of something else may lead CompressAI to
        raise MethodError(f"{source} has no weights of {settings.model}: {_first_line(error)}") from error
    return loaded


def _hub(url: str) -> Mapping[str, Tensor]:
    """Published weights, from torch's cache where they were loaded before. They execute no code."""
    try:
        state: Mapping[str, Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:  # network, disk, a damaged file
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise MethodError(
            f"{url} cannot be loaded ({_first_line(error)}): put it into {folder}, or name a file in `weights`"
        ) from error
    return state


def _file(path: Path) -> Mapping[str, Tensor]:
    """A file of weights, or what CompressAI's training stores, of which they are a part. It executes no code."""
    try:
        stored = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:
        raise MethodError(f"{path} is no file of weights: {_first_line(error)}") from error
    state = stored.get("state_dict", stored) if isinstance(stored, Mapping) else None
    if not isinstance(state, Mapping):
        raise MethodError(f"{path} holds no weights by their names")
    return state


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class _Codec:
    def __init__(self, model: ZooModel) -> None:
        self.model = model

    @torch.no_grad()
    def encode(self, cut: Cut) -> list[Bitstream]:
        (pictures,) = cut
        return [self._encode(picture[None].cpu().float() / 255) for picture in pictures]

    def _encode(self, x: Tensor) -> Bitstream:
        height, width = x.shape[2:]
        padding = (0, self._padded(width) - width, 0, self._padded(height) - height)
        z, y = self.model.compress(nn.functional.pad(x, padding, mode="replicate"))
        if not self.model.hyper:
            return Bitstream(y)
        return Bitstream(len(z).to_bytes(_LENGTH, "little") + z + y, side=len(z), framing=_LENGTH)

    @torch.no_grad()
    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        (spec,) = specs
        _, height, width = spec.shape
        pictures = [self._decode(data, height, width) for data in streams]
        return (torch.stack(pictures) if pictures else torch.zeros(0, *spec.shape, dtype=spec.dtype),)

    def _decode(self, data: bytes, height: int, width: int) -> Tensor:
        z, y = b"", data
        if self.model.hyper:
            end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
            if len(data) < end:
                raise BitstreamError(f"damaged bitstream: {len(data)} bytes, of which z alone takes {end}")
            z, y = data[_LENGTH:end], data[end:]
        decoded = self.model.decompress(z, y, self._padded(height), self._padded(width))
        return (decoded[0, :, :height, :width].clamp(0, 1) * 255).round().to(torch.uint8)

    def _padded(self, side: int) -> int:
        return -(-side // self.model.stride) * self.model.stride


METHOD = LearnedImage()
