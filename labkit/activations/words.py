"""Numbers, places and sums as they are read: three digits, a true minus sign, the largest terms of a long sum."""

import math
from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"


def number(value: float, within: bool = False) -> str:
    """Three significant digits, small ones as 1.25e-5; `within` a sum or product a negative one stands in brackets."""
    if value == 0 or math.isnan(value):
        return "0" if value == 0 else "NaN"
    digits, _, power = f"{abs(value):.3g}".partition("e")
    text = "∞" if math.isinf(value) else f"{digits}e{int(power)}" if power else digits
    if value > 0:
        return text
    return f"({MINUS}{text})" if within else f"{MINUS}{text}"


def label(name: str, index: Sequence[int | str]) -> str:
    """x[2,0]; a value that stands alone is x."""
    return f"{name}[{','.join(map(str, index))}]" if index else name


def at(*index: int | slice) -> str:
    """An index as Python writes it: 0, 1:3, ::2."""
    return ", ".join(_slice(part) if isinstance(part, slice) else str(part) for part in index)


def _slice(part: slice) -> str:
    ends = f"{'' if part.start is None else part.start}:{'' if part.stop is None else part.stop}"
    return ends if part.step in (None, 1) else f"{ends}:{part.step}"


def entry(name: str, index: Sequence[int]) -> str:
    return f"{name}[{at(*index)}]" if index else name


def added(products: Sequence[tuple[float, ...]], most: int = 8) -> str:
    """0.5 · 2 + (−0.3) · 4 + 0.1; of a long sum the `most` largest, in their order, and what the others add up to."""
    sizes = [abs(math.prod(factors)) for factors in products]
    chosen = sorted(sorted(range(len(products)), key=lambda i: -sizes[i])[:most])
    parts: list[str] = []
    for i in chosen:
        words = [number(factor, within=bool(parts) or k > 0) for k, factor in enumerate(products[i])]
        parts.append(" · ".join(words))
    if len(products) > most:
        others = math.fsum(math.prod(products[i]) for i in set(range(len(products))) - set(chosen))
        parts.append(f"{number(others, within=True)} from {len(products) - most} more")
    return " + ".join(parts) or "0"
