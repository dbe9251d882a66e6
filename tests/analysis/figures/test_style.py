"""Every curve looks different, in print and to the colour-blind, and a method the same everywhere."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle

from splitbench.bench.analysis.figures.style import _FIXED, drawing, styles
from splitbench.bench.utils.plugins import BUNDLED_METHODS


def test_known_methods_look_the_same_everywhere_and_all_curves_differ():
    names = [
        "raw",
        "image",
        "label-only",
        "quantize-rle",
        "quantize-entropy",
        "bottleneck",
        "retrained",
        "mine",
        "yours",
    ]
    frame = pd.DataFrame([(name, f"v={v}") for name in names for v in range(8)], columns=["method", "variant"])
    looks = styles(frame)
    assert len(set(looks.values())) == len(looks)
    assert looks["quantize-rle", "v=0"] == styles(frame[frame["method"] == "quantize-rle"])["quantize-rle", "v=0"]
    assert looks["mine", "v=0"] == styles(frame[frame["method"] == "mine"])["mine", "v=0"]
    assert len({look.marker for look in looks.values()}) == len(names)
    # Without colour, marker, dashes and fill still distinguish all of them.
    assert len({look[1:4] for look in looks.values()}) == len(looks)


def test_unknown_methods_differ_in_colour_as_long_as_there_are_colours_then_in_marker():
    known = ("raw", "image", "label-only", "quantize-rle", "quantize-entropy", "bottleneck", "retrained")
    for names in (("tiny-ae", "topk-zstd"), tuple("abcd"), ("mine", "yours", "theirs")):
        pairs = [(name, "") for name in (*known, *names)]
        looks = styles(pd.DataFrame(pairs, columns=["method", "variant"]))
        assert len({look.colour for look in looks.values()}) == len(pairs)
        assert len({looks[pair].marker for pair in pairs}) == len(pairs)
    many = styles(pd.DataFrame([(f"m{i}", "") for i in range(16)], columns=["method", "variant"]))
    assert len({(look.colour, look.marker) for look in many.values()}) == 16


def test_a_marker_that_is_a_glyph_is_drawn_without_the_dollars_around_it():
    names = ("quantize-layers", *"abcdefgh")
    looks = styles(pd.DataFrame([(name, "") for name in names], columns=["method", "variant"]))
    glyphs = [look for look in looks.values() if "$" in look.marker]
    assert len(glyphs) > 3
    for look in glyphs:
        with drawing():
            line = Line2D([], [], **look.line)
            marker = look.line["marker"]
        assert len(marker.get_path()) == len(MarkerStyle(look.marker).get_path())
        assert line.get_fillstyle() == look.fill


def test_colours_of_known_methods_can_be_distinguished_by_the_colour_blind():
    # Machado, Oliveira and Fernandes (2009), severity 1; distances in CIELAB.
    eyes = {
        "all": np.eye(3),
        "red-blind": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
        "green-blind": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    }
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

    def lab(colour, eye):
        share = np.array(to_rgb(colour))
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        seen = to_xyz @ np.clip(np.array(eyes[eye]) @ linear, 0, 1) / to_xyz.sum(1)
        x, y, z = np.where(seen > 0.008856, np.cbrt(seen), 7.787 * seen + 16 / 116)
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    methods = [name for name in BUNDLED_METHODS if name != "boxes"]  # detection's label-only
    looks = styles(pd.DataFrame([(name, "") for name in methods], columns=["method", "variant"]))
    assert set(methods) <= set(_FIXED)
    for item, other in itertools.combinations({look.colour for look in looks.values()}, 2):
        for eye in eyes:
            assert np.linalg.norm(lab(item, eye) - lab(other, eye)) > 17, (item, other, eye)
    assert len({look.marker for look in looks.values()}) == len(looks)
