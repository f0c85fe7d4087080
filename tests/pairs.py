"""A table in which every pair of values of two factors stands in some row."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product


def all_pairs(factors: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Rows, one value of each factor, that cover all pairs; about as many as the two largest make.

    Greedy: a row begins with a pair that is missing, and every other factor takes the value that
    covers most of what is missing, the least used one where several do.
    """
    names = list(factors)
    missing = {
        ((a, x), (b, y))
        for a, b in combinations(names, 2)
        for x, y in product(factors[a], factors[b])
    }
    used = {(name, value): 0 for name in names for value in factors[name]}
    rows = []
    while missing:
        row = dict(min(missing))
        for name in names:
            if name not in row:
                gains = [
                    (sum(_key(names, (name, v), item) in missing for item in row.items()), v)
                    for v in factors[name]
                ]
                most = max(gains)[0]
                _, row[name] = min((used[name, v], v) for gain, v in gains if gain == most)
        rows.append({name: row[name] for name in names})
        for item in row.items():
            used[item] += 1
        missing -= {_key(names, a, b) for a, b in combinations(row.items(), 2)}
    return rows


def _key(
    names: list[str], one: tuple[str, str], other: tuple[str, str]
) -> tuple[tuple[str, str], tuple[str, str]]:
    return (one, other) if names.index(one[0]) < names.index(other[0]) else (other, one)
