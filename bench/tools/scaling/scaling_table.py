"""What ``splitbench scale`` prints and draws."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from splitbench.bench.results.store import Store
from splitbench.bench.tools.scaling import scaling_figure
from splitbench.bench.tools.scaling.prediction import (
    LEAST_GAIN,
    longest_chain,
    predict_seconds,
    total_seconds,
    useful_workers,
)
from splitbench.bench.tools.scaling.workload import Workload, number
from splitbench.bench.utils.files import write_text
from splitbench.bench.utils.text import format_count, format_duration

WORKERS = (1, 2, 4, 8, 16, 32, 64)


def format_scaling(workloads: Sequence[Workload], workers: Sequence[int] = WORKERS) -> Iterator[str]:
    """Yield lines on workloads that run one after the other: time, speed-up and how busy each worker is."""
    trainings = [seconds for workload in workloads for seconds in workload.trainings.values()]
    passes = sum(len(workload.passes) for workload in workloads)
    passing = sum(workload.pass_seconds for workload in workloads)
    yield (
        f"{format_count(len(trainings), 'training')} ({format_duration(sum(trainings))}), "
        f"{format_count(passes, 'pass')} ({format_duration(passing)})"
    )
    yield f"{'workers':>8} {'time':>10} {'times faster':>13} {'busy':>6}"
    alone = total_seconds(workloads, 1)
    for count in workers:
        seconds = total_seconds(workloads, count)
        yield f"{count:8} {format_duration(seconds):>10} {alone / seconds:13.2f} {100 * alone / seconds / count:5.0f}%"
    if chain := sum(map(longest_chain, workloads)):
        yield f"no number of workers is faster than the longest chain of trainings: {format_duration(chain)}"
    enough = format_count(useful_workers(workloads), "worker")
    yield f"from {enough} on, twice as many save less than {LEAST_GAIN:.0%} of the time"


def measured_runs(folder: Path) -> Iterator[tuple[int, float]]:
    """Yield workers and seconds of each time that a sweep was run in this folder with nothing stored before."""
    for run in Store(folder).runs():
        workers, seconds = int(number(run, "workers")), number(run, "seconds")
        if run.get("kept") == 0 and workers > 0 and seconds > 0:
            yield workers, seconds


def format_check(workload: Workload, folders: Iterable[Path]) -> Iterator[str]:
    """Yield lines that compare the prediction with what runs of the same sweep took."""
    for folder in folders:
        for workers, seconds in measured_runs(folder):
            predicted = predict_seconds(workload, workers)
            yield (
                f"{folder}: {format_count(workers, 'worker')} took {seconds:.1f} s, predicted {predicted:.1f} s "
                f"({100 * (predicted / seconds - 1):+.1f} %)"
            )


def write_scaling(
    workloads: Mapping[str, Workload],
    lines: Sequence[str],
    out: Path,
    *,
    workers: Sequence[int],
    speed: float,
    measured: Sequence[tuple[int, float]] = (),
) -> list[Path]:
    """Write lines, and a figure of time against workers.

    Args:
        workloads: Workloads by the name of their sweep.
        lines: The text.
        out: The files' name without ending.
        workers: Numbers of workers, ascending.
        speed: How many times as fast the workers are as the one measured.
        measured: Workers and seconds of runs.

    Returns:
        The files that were written.
    """
    seconds = {name: [total_seconds([work], count) for count in workers] for name, work in workloads.items()}
    if len(seconds) > 1:
        together = "both" if len(seconds) == 2 else "all"
        seconds = {together: [sum(row) for row in zip(*seconds.values(), strict=True)]} | seconds
    title = "" if speed == 1 else f"workers {speed:g} times as fast as the one measured"
    enough = useful_workers(list(workloads.values()))
    figures = scaling_figure.draw(seconds, workers, out, enough=enough, title=title, measured=measured)
    return [write_text(out.with_suffix(".txt"), "\n".join(lines)), *figures]
