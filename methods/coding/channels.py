"""Codecs that work per channel, at cuts whose channels come last (transformers'): they are brought to the front."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from splitbench.methods.base import Bitstream, Codec, Context, Cut, Deployment, Specs, TensorSpec
from splitbench.methods.coding.layout import channel_axis


def channels_in_front(deploy: Callable[[Context], Deployment], context: Context) -> Deployment:
    """Deploy in a context whose cuts have their channels at axis 1; the codec returned takes cuts as they are."""
    axes = [channel_axis(spec) + 1 for spec in context.specs]
    if all(axis == 1 for axis in axes):
        return deploy(context)

    def calibration() -> Iterator[Cut]:
        for cut in context.calibration():
            yield _moved(cut, axes)

    inner = deploy(replace(context, specs=_moved_specs(context.specs, axes), calibration=calibration))
    return replace(inner, codec=_InFront(inner.codec, axes))


class _InFront:
    def __init__(self, codec: Codec, axes: Sequence[int]) -> None:
        self.codec, self.axes = codec, axes

    def encode(self, cut: Cut) -> list[Bitstream]:
        return self.codec.encode(_moved(cut, self.axes))

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        decoded = self.codec.decode(streams, _moved_specs(specs, self.axes))
        return tuple(
            x.movedim(1, axis).contiguous() if axis > 1 else x for x, axis in zip(decoded, self.axes, strict=True)
        )


def _moved(cut: Cut, axes: Sequence[int]) -> tuple[Tensor, ...]:
    return tuple(x.movedim(axis, 1) if axis > 1 else x for x, axis in zip(cut, axes, strict=True))


def _moved_specs(specs: Specs, axes: Sequence[int]) -> Specs:
    def moved(spec: TensorSpec, axis: int) -> TensorSpec:
        if axis == 1:
            return spec
        rest = [*spec.shape]
        channels = rest.pop(axis - 1)
        return replace(spec, shape=(channels, *rest), axis=0)

    return tuple(moved(spec, axis) for spec, axis in zip(specs, axes, strict=True))
