"""What the paper's figures claim, held against the runs, epoch by epoch and seed by seed."""

from __future__ import annotations

from typing import Any

from rich.table import Table

ERGODIC_SPREAD, PLAIN_SPREAD = 1.3, 3.0


def claims(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Where each claim of the paper's Figures 1 and 2 holds.

    Parameters
    ----------
    runs
        The runs of ``figures.json``; depth 1, where plain and ergodic are the same, serves both.

    Returns
    -------
    ``ergodic_falls``: for each seed the epochs at which the ergodic loss falls with every next
    depth; ``plain_above_depth_1``: for each seed and depth the epochs at which the plain loss lies
    above that of depth 1; ``gradient_spread``: for each output and seed the largest over the
    smallest gradient norm of the last epoch across depths above 1 and with depth 1, and whether
    that meets the bar.
    """
    found = {(run["depth"], run["output"], run["seed"]): run for run in runs}
    depths, seeds = sorted({run["depth"] for run in runs}), sorted({run["seed"] for run in runs})

    def run(depth: int, output: str, seed: int) -> dict[str, Any]:
        return found[depth, output if depth > 1 else "plain", seed]

    falls: dict[str, Any] = {}
    above: dict[str, Any] = {}
    spread: dict[str, Any] = {"ergodic": {}, "plain": {}}
    for seed in seeds:
        ergodic = [run(depth, "ergodic", seed)["loss"] for depth in depths]
        falls[str(seed)] = _epochs(
            all(a > b for a, b in zip(losses, losses[1:], strict=False))
            for losses in zip(*ergodic, strict=True)
        )
        if 1 in depths:
            first = run(1, "plain", seed)["loss"]
            above[str(seed)] = {
                str(depth): _epochs(
                    b > a for a, b in zip(first, run(depth, "plain", seed)["loss"], strict=True)
                )
                for depth in depths
                if depth > 1
            }
        for output in spread:
            norms = {depth: run(depth, output, seed)["gradient_norm"][-1] for depth in depths}
            later = [norm for depth, norm in norms.items() if depth > 1] or list(norms.values())
            whole, tail = max(norms.values()) / min(norms.values()), max(later) / min(later)
            meets = whole <= ERGODIC_SPREAD if output == "ergodic" else whole >= PLAIN_SPREAD
            spread[output][str(seed)] = {
                "with_depth_1": whole,
                "without_depth_1": tail,
                "meets_bar": meets,
            }
    return {"ergodic_falls": falls, "plain_above_depth_1": above, "gradient_spread": spread}


def claims_table(found: dict[str, Any], epochs: int) -> Table:
    """What :func:`claims` found, a row for each claim and seed."""
    shown = Table(title="The paper's claims")
    for heading in ("claim", "seed", "holds"):
        shown.add_column(heading)
    for seed, holds in found["ergodic_falls"].items():
        shown.add_row("ergodic loss falls with every depth", seed, _spans(holds, epochs))
    for seed, depths in found["plain_above_depth_1"].items():
        for depth, holds in depths.items():
            shown.add_row(f"plain loss at d = {depth} is above d = 1", seed, _spans(holds, epochs))
    for output, bar in (("ergodic", f"≤ {ERGODIC_SPREAD}"), ("plain", f"≥ {PLAIN_SPREAD}")):
        for seed, spread in found["gradient_spread"][output].items():
            verdict = "yes" if spread["meets_bar"] else "no"
            shown.add_row(
                f"{output} gradient norms, largest over smallest, {bar}",
                seed,
                f"{verdict}: {spread['with_depth_1']:.2f}",
            )
    return shown


def _spans(holds: list[int], epochs: int) -> str:
    """Epochs as ranges: 0, 2–20."""
    if len(holds) in (0, epochs + 1):
        return "at all epochs" if holds else "at no epoch"
    starts = [epoch for epoch in holds if epoch - 1 not in holds]
    ends = [epoch for epoch in holds if epoch + 1 not in holds]
    spans = [str(a) if a == b else f"{a}–{b}" for a, b in zip(starts, ends, strict=True)]
    return f"at epochs {', '.join(spans)} of 0–{epochs}"


def _epochs(holds: Any) -> list[int]:
    return [epoch for epoch, true in enumerate(holds) if true]
