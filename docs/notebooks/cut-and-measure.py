# ---
# jupyter:
#   jupytext:
#     text_representation: {format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Cut your own model and measure one codec
#
# A model of yours is any `nn.Module`. Here it is a small network that learns, in a few seconds, to name the direction
# of stripes; put your own model and `DataLoader` in its place.

# %%
import pandas as pd
import torch
from torch import nn

import splitbench

torch.manual_seed(0)


def stripes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images (count, 1, 32, 32) of noisy stripes, and which of four directions they have."""
    labels = torch.randint(4, (count,))
    angle = labels * torch.pi / 4
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    waves = x * angle.cos()[:, None, None] + y * angle.sin()[:, None, None] + 6 * torch.rand(count, 1, 1)
    return (waves.sin() + 3.0 * torch.randn(count, 32, 32))[:, None], labels


# %%
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4),
)  # fmt: skip
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(300):
    images, labels = stripes(64)
    loss = nn.functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
model.eval()
# %% [markdown]
# ## Where it can be cut
#
# Every row is a place to cut: what would cross in float32, and how the computation is shared.

# %%
points = splitbench.points(model, torch.rand(1, 1, 32, 32))
points[["shapes", "bytes", "macs_head", "macs_tail"]]

# %% [markdown]
# ## What crosses, as bytes
#
# After the second ReLU (`"5"`), quantized to eight levels. A codec returns a bitstream per image, and decodes it from
# nothing but its bytes.

# %%
images, labels = stripes(8)
head, tail, specs = parts = splitbench.split(model, "5", images)
codec = splitbench.method("quantize-rle", bits=3).deploy(parts)
with torch.no_grad():
    streams = codec.encode(head(images))
    scores = tail(*codec.decode(streams))
pd.DataFrame({
    "bytes": [len(stream.data) for stream in streams],
    "of these side information": [stream.side for stream in streams],
    "label": labels,
    "predicted": scores.argmax(1),
})  # fmt: skip

# %% [markdown]
# ## Bytes and accuracy, over a loader
#
# `measure` codes all images, scores what was decoded, and counts what each side computes and stores. Every number is
# a column that [the reference](../reference/columns.md) explains. Methods that count tables take `calibration=`:
# batches of other images.

# %%
loader = [stripes(100) for _ in range(5)]
calibration = [stripes(100)[0] for _ in range(2)]
rows = [
    splitbench.measure(model, "5", splitbench.method(name, bits=bits, range="image"), loader, calibration=calibration)
    for name in ("quantize-rle", "quantize-context")
    for bits in (1, 2, 3, 4)
]
table = pd.DataFrame(rows)
table.insert(1, "bits", [1, 2, 3, 4] * 2)
table[["method", "bits", "bytes_mean", "accuracy", "drop", "drop_low", "drop_high", "storage_device_bytes"]].round(2)

# %% [markdown]
# With equal ranges both have the same levels, so that accuracy is the same and only the bytes differ: one coder needs
# nothing, the other stores tables on both sides. `drop` is paired: the accuracy of the uncompressed model on the same
# images, less this one. Where its interval holds 0, these 500 images do not show that anything was lost.
