"""The columns of every table that comparisons and what-ifs write; ``results/columns.py`` has those of a run.

A name alone is a column of a run's table with the same meaning.
"""

from collections.abc import Iterator, Mapping

from splitbench.bench.results.columns import COLUMNS, Column
from splitbench.bench.utils.errors import UserError, nearest

_OF_RUNS = {column.name: column for column in COLUMNS}

RUN = "cells.csv"
"""A run's own table."""

_FRONT = """
method
variant
knob
value
bytes_mean
accuracy
accuracy_low
accuracy_high
drop
seeds           |        | the number of seeds that numbers are means over; intervals: see below
device_macs     | MAC    | multiply-adds of head and encoder; 0 where the picture is sent
"""

_ANSWER = """
split
method
variant
knob
value
bytes_mean
accuracy
drop
latency_ms      | ms     | from image to answer: the parts below, and send_ms
head_ms         | ms     | time of the head, as measured or by the device profile
encode_ms       | ms     | time to encode, likewise
decode_ms       | ms     | time to decode, likewise
tail_ms         | ms     | time of the tail, likewise
send_ms         | ms     | round trip, and 8 times bytes_mean over the link's speed
"""

_LINK = """
dataset
backbone
tolerated_drop  | points | rate points that lose more do not compete
rtt_ms          | ms     | the link's round trip
"""

_REGIONS = f"""
{_LINK}
mbps_from       | Mbit/s | the slowest link at which this rate point has the least latency
mbps_to         | Mbit/s | the fastest
split
method
variant
knob
value
bytes_mean
drop
latency_ms_from | ms     | its latency at mbps_from
latency_ms_to   | ms     | its latency at mbps_to
"""

_TEXTS = {
    "summary.csv": """
dataset
backbone
at_split        |        | the split; every split: one that sends the picture is best at each
question        |        | fewest bytes for a tolerated drop (points), or the accuracy within a budget of bytes
best            |        | the curve (method and variant) that answers best; as accurate: the one for fewer bytes
answer          |        | its bytes per image or accuracy; ≤: a bound, its smallest rate point
interval        |        | 95 % interval of the answer: of bytes, where the ends of the drop's are read; ≤: a bound
next_best       |        | the next best curve
difference      |        | how far it is behind: how many times the best's bytes it needs, or points less
clear           |        | whether the two differ significantly on these images, at 95 %; empty: nothing to compare
by              |        | same images: paired, by bootstrap over them; intervals: whether the two overlap
""",
    "front-per-split.csv": f"""
dataset
backbone
at_split        |        | the split whose front it is; methods that send the picture compete at every one
split
{_FRONT}""",
    "front-per-backbone.csv": f"""
dataset
backbone
split
{_FRONT}""",
    "front-over-all.csv": f"""
dataset
backbone
split
{_FRONT}""",
    "bytes-at-drop.csv": """
dataset
backbone
split
method
variant
tolerated_drop  | points | the drop at which bytes are read
bytes           | bytes  | mean per image at that drop, along the front, linear in log-bytes between near points
how             |        | measured, interpolated, at most (a bound: no rate point is near below), not reached
bytes_low       | bytes  | the same where the lower ends of the drops' 95 % intervals come to that drop
how_low         |        | how bytes_low was read; at most: the interval begins there or anywhere below
bytes_high      | bytes  | the same for the upper ends; empty where they do not come down to that drop
how_high        |        | how bytes_high was read
rate_points     |        | measured rate points of the curve
seeds           |        | the number of seeds that each of them is a mean over, at least
""",
    "accuracy-at-bytes.csv": """
dataset
backbone
split
method
variant
budget          | bytes  | per image, at most to be spent
accuracy        | %      | within that budget, along the front, linear in log-bytes between near points
drop            | points | the baseline less this accuracy
how             |        | measured (what a larger budget allows, too), interpolated or not reached
bytes           | bytes  | what it takes: those of the rate point, or the budget where it lies between two
accuracy_low    | %      | the lower ends of the 95 % intervals, read likewise
accuracy_high   | %      | the upper ends, read likewise
seeds           |        | the number of seeds that each rate point is a mean over, at least
""",
    "bd.csv": """
dataset
backbone
split
method
variant
anchor          |        | the curve that this one is compared with
bd_rate         | %      | mean difference in bytes at equal accuracy, over the accuracies that both fronts cover
bd_rate_overlap | %      | those accuracies, of what the shorter front covers; a number needs 50
bd_accuracy     | points | mean difference in accuracy at equal bytes, over the bytes that both curves cover
bd_accuracy_overlap     | %      | those bytes (logarithms), of what the shorter curve covers; a number needs 50
points_near     |        | this curve's rate points with a drop of at most 10 points; both numbers need 3
points_on_front |        | of these, the undominated ones: no other is as accurate with fewer bytes; BD-rate needs 3
anchor_points_near      |        | the anchor's points_near
anchor_points_on_front  |        | the anchor's points_on_front
reason          |        | why a number is not given
at_split        |        | where the two are compared
""",
    "bd-matrix.csv": """
dataset
backbone
at_split        |        | where the two are compared
method          |        | a method, with the rate points of all its variants as one curve
anchor          |        | the method that it is compared with, likewise
bd_rate         | %      | mean difference in bytes at equal accuracy, over the accuracies that both fronts cover
bd_rate_overlap | %      | those accuracies, of what the shorter front covers; a number needs 50
bd_accuracy     | points | mean difference in accuracy at equal bytes, over the bytes that both curves cover
bd_accuracy_overlap     | %      | those bytes (logarithms), of what the shorter curve covers; a number needs 50
reason          |        | why a number is not given
""",
    "paired-tests.csv": """
dataset
backbone
at_split        |        | where the two are compared
a               |        | one rate point: curve, knob and value, and the seed where there are several
a_bytes         | bytes  | its mean bytes per image
a_accuracy      | %      | its accuracy on the images of the test
b               |        | the other one, of nearly the same bytes; with --anchor the anchor's
b_bytes         | bytes  | its mean bytes per image
b_accuracy      | %      | its accuracy on the images of the test
images          |        | images of the test
difference      | points | a_accuracy less b_accuracy
difference_low  | points | lower end of its paired 95 % bootstrap interval
difference_high | points | upper end
only_a          |        | images that only a gets right (classification)
only_b          |        | images that only b gets right (classification)
p               |        | McNemar's exact test; for AP Wald's, with the bootstrap's standard error
p_holm          |        | p with Holm's correction over the rows of the same two methods, dataset and backbone
better          |        | a or b where p_holm is below 0.05, else neither
""",
    "costs.csv": """
dataset
backbone
split
method
variant
rate_points     |        | measured rate points of the curve; costs are the largest over them, training their sum
seeds           |        | the number of seeds that each of them is a mean over, at least; training is that of one seed
device_macs     | MAC    | multiply-adds of head and encoder; 0 where the picture is sent
macs_head
macs_encoder
macs_decoder
macs_tail
storage_device_bytes
storage_server_bytes
switch_device_bytes
switch_server_bytes
storage_device_packed_bytes
storage_server_packed_bytes
switch_device_packed_bytes
switch_server_packed_bytes
switch_ms
head_ms
encode_ms
decode_ms
tail_ms
train_macs      | MAC    | of all rate points together
train_images    |        | of all rate points together
train_seconds   | s      | of all rate points together
""",
    "regions.csv": _REGIONS,
    "regions-without-device.csv": _REGIONS,
    "by-speed.csv": f"""
{_LINK}
mbps            | Mbit/s | the link's speed; the row is the rate point with the least latency there
{_ANSWER}
next_method     |        | the method that is best without this one
next_latency_ms | ms     | its latency
""",
    "by-split.csv": f"""
{_LINK}
mbps            | Mbit/s | a speed of the question (--mbps); a row for the best rate point of every split there
{_ANSWER}""",
}

INTERVALS = (
    "accuracy, top1: Wilson's score interval (Journal of the American Statistical Association 22, 1927, 209-212)",
    "drop, top1: Newcombe's method 10 for paired shares (Statistics in Medicine 17, 1998, 2635-2650)",
    "accuracy and drop, ap: bootstrap of 1,000 samples of the images, the same for both networks of a drop; their "
    "percentiles 2.5 and 97.5, moved by the difference of the samples' mean from the estimate",
    "paired tests: percentile bootstrap over images, 10,000 samples (ap: 1,000, moved likewise); McNemar's exact test "
    "(Psychometrika 12, 1947, 153-157); Holm's correction (Scandinavian Journal of Statistics 6, 1979, 65-70)",
    "several seeds: numbers are means, and intervals reach from the lowest end of a seed's interval to the highest: "
    "95 % or more for the mean over these seeds, on other images; none for other seeds; paired tests: the lowest seed",
    "BD-rate and BD-accuracy: Bjøntegaard's (ITU-T VCEG-M33, 2001), with PCHIP through the measured points (SIAM "
    "Journal on Numerical Analysis 17, 1980, 238-246); they have no interval",
)
"""What the intervals and tests are, and their sources."""

_INTERVAL_LINES = ("", "intervals and tests", *INTERVALS)


def _column(line: str) -> Column:
    parts = [part.strip() for part in line.split("|")]
    return _OF_RUNS[parts[0]] if len(parts) == 1 else Column(*parts)


TABLES: Mapping[str, tuple[Column, ...]] = {RUN: COLUMNS} | {
    name: tuple(_column(line) for line in text.split("\n") if line) for name, text in _TEXTS.items()
}
"""The columns of each table, by its file's name."""


def describe_columns(name: str | None = None) -> Iterator[str]:
    """Yield lines that describe the columns of all tables, of the table of a name, or the columns of a name.

    Raises:
        UserError: no table and no column has that name.
    """
    if name is None:
        for table, columns in TABLES.items():
            yield from () if table == RUN else ("", table)
            yield from (_line(column.name, column) for column in columns)
        yield from _INTERVAL_LINES
    elif columns := TABLES.get(name, TABLES.get(f"{name}.csv", ())):
        yield from (_line(column.name, column) for column in columns)
        yield from _INTERVAL_LINES
    else:
        yield from _describe_column(name)


def _describe_column(name: str) -> Iterator[str]:
    columns = [(table, column) for table, columns in TABLES.items() for column in columns if column.name == name]
    if not columns:
        known = [table.removesuffix(".csv") for table in TABLES]
        known += [column.name for columns in TABLES.values() for column in columns]
        raise UserError(
            f"`splitbench columns` has no table and no column {name!r}{nearest(name, dict.fromkeys(known))}"
        )
    yield from (_line(table, column) for table, column in columns)
    if any("see below" in column.meaning for _, column in columns):
        yield from _INTERVAL_LINES


def _line(name: str, column: Column) -> str:
    return f"{name:22} {column.unit:7} {column.meaning}"
