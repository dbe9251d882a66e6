"""The zero-run encoder of ``zero_runs.py`` in tensor operations: the same bytes, made where the symbols are.

On a GPU quantizing, finding runs, choosing modes and packing bits stay there, and only finished bytes leave it. On the
CPU the compiled loop is several times faster.
"""

from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import pad

from splitbench.methods.coding.runs.zero_runs import (
    ESCAPED,
    FIXED,
    LITERAL_PARAMETERS,
    LONGEST_UNARY,
    PARAMETERS,
    PLAIN,
)

GROUP_SYMBOLS = 2**22
"""Symbols that are coded at once, or one row where it has more: each takes up to about 100 bytes of memory."""


def encode_rows(
    symbols: Tensor, bits: int, rice_literals: bool = True, *, group_symbols: int = GROUP_SYMBOLS
) -> list[bytes]:
    """Code every row of symbols (B, N), uint8, below ``2**bits``, as :func:`zero_runs.encode_rows` does.

    Rows are coded in groups of about ``group_symbols``, which bounds memory.
    """
    if len(symbols) == 0:
        return []
    parts = torch.split(symbols, max(1, group_symbols // max(1, symbols.shape[1])))
    return [code for part in parts for code in _encode_some(part, bits, rice_literals)]


def _encode_some(symbols: Tensor, bits: int, rice_literals: bool) -> list[bytes]:
    # Masks choose by torch.where: to index by one, the host would wait for the GPU to count what it chooses.
    size = symbols.shape[1]
    row, place = symbols.nonzero(as_tuple=True)
    literal = symbols[row, place].long()
    pairs = symbols.count_nonzero(1)
    ends = pairs.cumsum(0)
    first = row.diff(prepend=row.new_full((1,), -1)) > 0
    run = place - torch.where(first, -1, place.roll(1)) - 1
    last = size - torch.where(pairs > 0, pad(place + 1, (1, 0))[ends], 0)

    run_k, run_bits = _cheapest(run, ends, PARAMETERS, last)
    literal_k, literal_bits = _cheapest(literal - 1, ends, LITERAL_PARAMETERS, torch.zeros_like(last))
    totals = [torch.full_like(pairs, size * bits), 8 + run_bits + (pairs * bits if bits > 1 else 0)]
    totals += [8 + run_bits + literal_bits] if rice_literals else []
    total, mode = _minimum(torch.stack(totals))
    literal_k = literal_k if rice_literals else torch.zeros_like(literal_k)
    coded = mode != PLAIN
    header = torch.where(coded, 2, 1)
    lengths = header + (total - torch.where(coded, 8, 0) + 7) // 8
    starts = lengths.cumsum(0) - lengths
    sizes = lengths.tolist()
    data = torch.zeros(sum(sizes) + 8, dtype=torch.int32, device=symbols.device)
    data[starts] = mode.int()
    data.index_add_(0, starts + 1, torch.where(coded, run_k | literal_k << 4, 0).int())

    payload = 8 * (starts + header)  # in bits
    bare = (~coded).nonzero().flatten()
    plain = symbols[bare].long().flatten()
    _add(data, plain, torch.full_like(plain, bits), _places(payload[bare], size, bits))
    kept = coded[row].nonzero().flatten()
    row, run, literal = row[kept], run[kept], literal[kept] - 1
    code, length = _rice(run, run_k[row])
    other, width = _rice(literal, literal_k[row])
    fixed = mode[row] == FIXED
    other, width = torch.where(fixed, literal, other), torch.where(fixed, bits if bits > 1 else 0, width)
    behind = (length + width).cumsum(0)
    used = _sums(length + width, torch.where(coded, pairs, 0).cumsum(0))
    begin = behind - length - width - (used.cumsum(0) - used)[row] + payload[row]
    _add(data, code, length, begin)
    _add(data, torch.where(width > 0, other, 0), width, begin + length)
    final = coded & (last > 0)
    code, length = _rice(last, run_k)
    _add(data, torch.where(final, code, 0), torch.where(final, length, 0), payload + used)
    whole = data.to(torch.uint8).cpu().numpy().tobytes()
    return [whole[end - length : end] for length, end in zip(sizes, accumulate(sizes), strict=True)]


def _rice(value: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Rice codes and their lengths."""
    quotient = value >> k
    ones = (1 << quotient.clamp(max=LONGEST_UNARY)) - 1
    escaped = quotient >= LONGEST_UNARY
    code = torch.where(escaped, ones << 32 | value, ones << (k + 1) | value & ((1 << k) - 1))
    return code, torch.where(escaped, ESCAPED, quotient + 1 + k)


def _cheapest(value: Tensor, ends: Tensor, parameters: int, last: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's cheapest Rice parameter, the lowest of equal ones, and its bits; ``last`` unless 0."""
    costs = []
    for k in range(parameters):
        more = _rice(last, torch.full_like(last, k))[1] * (last > 0)
        costs.append(more + _sums(_rice(value, torch.full_like(value, k))[1], ends))
    fewest, parameter = _minimum(torch.stack(costs))
    return parameter, fewest


def _sums(value: Tensor, ends: Tensor) -> Tensor:
    """Return the sum of each row's values; a row's lie behind those of the rows before it, and end at ``ends``."""
    # Adding up by index would add a whole row to one counter, which a GPU does one by one.
    until = pad(value.cumsum(0), (1, 0))[ends]
    return until - pad(until[:-1], (1, 0))


def _minimum(costs: Tensor) -> tuple[Tensor, Tensor]:
    """Return each column's least number and the first row that has it."""
    count = len(costs)
    packed = (costs * count + torch.arange(count, device=costs.device)[:, None]).amin(0)
    return packed // count, packed % count


def _places(starts: Tensor, count: int, step: int) -> Tensor:
    """Return the bits where codes of one length begin, ``count`` from every start on."""
    return (starts[:, None] + step * torch.arange(count, device=starts.device)).flatten()


def _add(data: Tensor, code: Tensor, length: Tensor, begin: Tensor) -> None:
    """Write codes of up to 57 bits from the bits on where they begin. No two share a bit: adding is writing."""
    shifted = code << (64 - length - begin % 8).clamp(max=63)
    for i in range(8):
        data.index_add_(0, begin // 8 + i, (shifted >> (56 - 8 * i) & 255).int())
