"""The zero-run encoder of ``zero_runs.py`` in tensor operations: the same bytes, made where the symbols are.

On a GPU quantizing, finding runs, choosing modes and packing bits stay there, and only finished bytes leave it. On the
CPU the compiled loop is several times faster.
"""

import torch
from torch import Tensor

from splitbench.methods.coding.zero_runs import (
    ESCAPED,
    FIXED,
    LITERAL_PARAMETERS,
    LONGEST_UNARY,
    PARAMETERS,
    PLAIN,
)


def encode_rows(symbols: Tensor, bits: int, rice_literals: bool = True) -> list[bytes]:
    """Code every row of symbols (B, N), uint8, below ``2**bits``, as :func:`zero_runs.encode_rows` does."""
    if len(symbols) == 0:
        return []
    rows, size = symbols.shape
    row, place = symbols.nonzero(as_tuple=True)
    literal = symbols[row, place].long()
    pairs = torch.bincount(row, minlength=rows)
    before = torch.cat([row.new_full((1,), -1), place[:-1]])
    before[(pairs.cumsum(0) - pairs)[pairs > 0]] = -1
    run = place - before - 1
    last = pairs.new_full((rows,), size)
    last[pairs > 0] -= place[(pairs.cumsum(0) - 1)[pairs > 0]] + 1

    run_k, run_bits = _cheapest(run, row, PARAMETERS, last)
    literal_k, literal_bits = _cheapest(literal - 1, row, LITERAL_PARAMETERS, torch.zeros_like(last))
    totals = [torch.full_like(pairs, size * bits), 8 + run_bits + (pairs * bits if bits > 1 else 0)]
    totals += [8 + run_bits + literal_bits] if rice_literals else []
    total, mode = _least(torch.stack(totals))
    literal_k = literal_k if rice_literals else torch.zeros_like(literal_k)
    header = torch.where(mode == PLAIN, 1, 2)
    lengths = header + (total - torch.where(mode == PLAIN, 0, 8) + 7) // 8
    starts = lengths.cumsum(0) - lengths
    data = torch.zeros(int(lengths.sum()) + 8, dtype=torch.int32, device=symbols.device)
    data[starts] = mode.int()
    told = mode != PLAIN
    data[starts[told] + 1] = (run_k | literal_k << 4)[told].int()

    payload = 8 * (starts + header)  # in bits
    plain = symbols[~told].long().flatten()
    _add(data, plain, torch.full_like(plain, bits), _places(payload[~told], size, bits))
    kept = told[row]
    row, run, literal = row[kept], run[kept], literal[kept] - 1
    code, length = _rice(run, run_k[row])
    other, width = _rice(literal, literal_k[row])
    fixed = mode[row] == FIXED
    other, width = torch.where(fixed, literal, other), torch.where(fixed, bits if bits > 1 else 0, width)
    ends = (length + width).cumsum(0)
    taken = torch.zeros_like(pairs).index_add_(0, row, length + width)
    begin = ends - length - width - (taken.cumsum(0) - taken)[row] + payload[row]
    _add(data, code, length, begin)
    _add(data, torch.where(width > 0, other, 0), width, begin + length)
    final = told & (last > 0)
    _add(data, *_rice(last[final], run_k[final]), (payload + taken)[final])
    whole = data.to(torch.uint8).cpu().numpy().tobytes()
    return [whole[start : start + size] for start, size in zip(starts.tolist(), lengths.tolist(), strict=True)]


def _rice(value: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Rice codes and their lengths."""
    quotient = value >> k
    ones = (1 << quotient.clamp(max=LONGEST_UNARY)) - 1
    escaped = quotient >= LONGEST_UNARY
    code = torch.where(escaped, ones << 32 | value, ones << (k + 1) | value & ((1 << k) - 1))
    return code, torch.where(escaped, ESCAPED, quotient + 1 + k)


def _cheapest(value: Tensor, row: Tensor, parameters: int, last: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's Rice parameter that takes the fewest bits, the lowest of these, and the bits; ``last`` unless 0."""
    costs = []
    for k in range(parameters):
        more = _rice(last, torch.full_like(last, k))[1] * (last > 0)
        costs.append(more.index_add(0, row, _rice(value, torch.full_like(value, k))[1]))
    fewest, parameter = _least(torch.stack(costs))
    return parameter, fewest


def _least(costs: Tensor) -> tuple[Tensor, Tensor]:
    """Each column's least number and the first row that has it."""
    count = len(costs)
    found = (costs * count + torch.arange(count, device=costs.device)[:, None]).amin(0)
    return found // count, found % count


def _places(starts: Tensor, count: int, step: int) -> Tensor:
    """The bits where codes of one length begin, ``count`` from every start on."""
    return (starts[:, None] + step * torch.arange(count, device=starts.device)).flatten()


def _add(data: Tensor, code: Tensor, length: Tensor, begin: Tensor) -> None:
    """Write codes of up to 57 bits from the bits on where they begin. No two share a bit: adding is writing."""
    shifted = code << (64 - length - begin % 8).clamp(max=63)
    for i in range(8):
        data.index_add_(0, begin // 8 + i, (shifted >> (56 - 8 * i) & 255).int())
