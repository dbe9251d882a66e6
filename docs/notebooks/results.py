# ---
# jupyter:
#   jupytext:
#     text_representation: {format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # From a results folder to the paper's figure and table
#
# A run's folder holds `cells.csv`. Any of them will do, also several at once: `splitbench.results("one", "two")`.
# Here it is the synthetic benchmark's, which comes with a clone.

# %%
from pathlib import Path

import splitbench

folder = next(
    found for above in (Path.cwd(), *Path.cwd().parents) if (found := above / "results/reference/synthetic").is_dir()
)
table = splitbench.results(folder)
table.groupby(["split", "method"])["bytes_mean"].describe()[["count", "min", "max"]].round(0)

# %% [markdown]
# ## The figure
#
# Drop of accuracy against bytes, of one backbone; bands are paired 95 % intervals. Some rows of a table are a table,
# so that methods are chosen as in any DataFrame.

# %%
chosen = table[(table["split"] == "layer3") & table["method"].isin(["bottleneck", "retrained", "quantize-context"])]
figure = splitbench.plot(chosen, "rate-drop")
figure

# %% [markdown]
# For the paper: vectors, and fonts that stay text.

# %%
import tempfile

out = Path(tempfile.mkdtemp())
figure.savefig(out / "drop.pdf")
[file.name for file in out.iterdir()]

# %% [markdown]
# ## The numbers behind it
#
# Bytes for a drop of one point, read off each curve between measured rate points. `at most` says that even the
# smallest rate point drops less: the bytes are an upper bound.

# %%
tables = splitbench.compare(table)
needed = tables["bytes-at-drop"]
point = needed[(needed["split"] == "layer3") & (needed["tolerated_drop"] == 1.0)]
point = point[["method", "variant", "bytes", "bytes_low", "bytes_high", "how"]].sort_values("bytes")
point.head(8)

# %% [markdown]
# ## The LaTeX table

# %%
best = point.groupby("method", as_index=False).first().sort_values("bytes")
latex = (
    best[["method", "bytes"]]
    .style.format({"bytes": "{:,.0f}"})
    .hide(axis="index")
    .to_latex(hrules=True, caption="Bytes per image at a drop of one point after layer3.")
)
latex.splitlines()

# %% [markdown]
# `splitbench compare` writes all of these tables as `.tex` beside the text, and `splitbench columns bytes-at-drop`
# says what each column is.
