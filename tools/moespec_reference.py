"""MoE-Spec's expert budget (arXiv 2602.16052), written from the paper's description alone.

One MoE layer of one verification pass: P[t][e] is row t's softmax over all experts.

    s_e = sum over the rows t, in order, of P[t][e]                      (in double)
    S   = the B experts of largest s_e, ties to the lower index
    substitution:  every row takes its top k of P[t] within S
    truncation:    every row takes its top k of P[t]; those outside S are dropped

Rankings within a row also give ties to the lower index. Plain Python, no relation to the C code:
the golden made with it is what the C code has to reproduce.
"""

from __future__ import annotations

from typing import Sequence

Row = Sequence[float]


def router_sums(rows: Sequence[Row]) -> list[float]:
    """s_e for every expert."""
    sums = [0.0] * len(rows[0])
    for row in rows:
        for expert, probability in enumerate(row):
            sums[expert] += float(probability)
    return sums


def largest(values: Row, count: int, among: Sequence[int] | None = None) -> list[int]:
    """Indices of the `count` largest values, best first, ties to the lower index."""
    candidates = range(len(values)) if among is None else among
    return sorted(candidates, key=lambda i: (-values[i], i))[:count]


def allowed_experts(rows: Sequence[Row], budget: int) -> list[int]:
    """S, in ascending order."""
    return sorted(largest(router_sums(rows), budget))


def substitute(row: Row, allowed: Sequence[int], top_k: int) -> list[int]:
    """The row's experts under substitution, best first."""
    if len(allowed) < top_k:
        raise ValueError("a budget below top_k leaves a row without enough experts")
    return largest(row, top_k, allowed)


def truncate(row: Row, allowed: Sequence[int], top_k: int) -> list[int]:
    """The row's experts under truncation: its natural top k without those outside the budget."""
    inside = set(allowed)
    return [expert for expert in largest(row, top_k) if expert in inside]


def mass_kept(rows: Sequence[Row], allowed: Sequence[int]) -> float:
    """Share of the rows' router probability that lies within S."""
    sums = router_sums(rows)
    return sum(sums[expert] for expert in allowed) / sum(sums)
