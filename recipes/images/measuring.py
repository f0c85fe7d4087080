"""One table over a folder of images: PSNR, SSIM, parameters, seconds, gaps."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from ergodual.files import write_atomically
from ergodual.images import add_noise, find_images, psnr, read_image, ssim
from recipes.images.methods import Method, methods
from recipes.images.training import RECIPES

RESULTS = Path(__file__).parents[2] / "results" / "images"
LEVELS = (15, 25, 50)
"""σ of the noise, for images of 256 grey levels."""


def measure(folder: Path, out: Path, names: list[str]) -> None:
    """These methods, or all; what was measured before is kept."""
    kept = out / "measured" / folder.name
    kept.mkdir(parents=True, exist_ok=True)
    for level in LEVELS:
        for name, make in methods(out).items():
            file = kept / f"{name} {level}.json"
            if (names and name not in names) or file.exists() or not _serves(name, level):
                continue
            rows = _rows(make(), folder, level / 255)
            write_atomically(file, json.dumps(rows) + "\n")
            print(name, level, f"{_mean(rows, 'psnr'):.3f} dB", flush=True)


def table(folder: Path, out: Path) -> None:
    """All that was measured, in results/images."""
    rows = []
    for level in LEVELS:
        for name in methods(out):
            file = out / "measured" / folder.name / f"{name} {level}.json"
            if file.exists():
                rows.append(_summary(name, level, json.loads(file.read_text()), out))
    variations = [row for row in rows if row["method"].startswith("TV")]
    for row in variations:
        if row["psnr"] < max(v["psnr"] for v in variations if v["sigma"] == row["sigma"]):
            rows.remove(row)
    text = {"command": f"make images DATA={folder.name} TRAIN=train400", "rows": rows}
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_atomically(RESULTS / f"{folder.name}.json", json.dumps(text, indent=1) + "\n")
    for row in rows:
        cells = [f"{row['psnr']:.2f}", f"{row['ssim']:.3f}", f"{row['parameters']:,}"]
        gap = "" if row["gap"] is None else f"{row['gap']:.0e}"
        print(
            f"{row['method']:18} {row['sigma']} ", *cells, f"{row['seconds an image']:.2f} s", gap
        )


def _serves(name: str, level: int) -> bool:
    """Whether a method is for noise of this level."""
    recipe = RECIPES.get(name.partition(",")[0])
    sigma = level / 255 if recipe is None else recipe.sigma
    least, largest = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    return least <= level / 255 <= largest


def _rows(method: Method, folder: Path, sigma: float) -> list[dict[str, Any]]:
    rows = []
    for index, path in enumerate(find_images(folder)):
        image = read_image(path)
        noisy = add_noise(image, sigma, index)
        begun = time.process_time()
        estimate = method.estimate(noisy, sigma)
        row = {
            "image": path.name,
            "psnr": psnr(estimate, image),
            "ssim": ssim(estimate, image),
            "seconds": time.process_time() - begun,
            "parameters": method.parameters,
        }
        solution = None if method.solved is None else method.solved.solution
        if solution is not None:
            row |= {
                "error": float(solution.error.max()),
                "iterations": int(solution.iterations.max()),
            }
        rows.append(row)
        print(row, flush=True)
    return rows


def _summary(name: str, level: int, rows: list[dict[str, Any]], out: Path) -> dict[str, Any]:
    errors = [row["error"] for row in rows if "error" in row]
    return {
        "method": name,
        "sigma": level,
        "images": len(rows),
        "psnr": round(_mean(rows, "psnr"), 3),
        "ssim": round(_mean(rows, "ssim"), 4),
        "parameters": rows[0]["parameters"],
        "seconds of training": _training(name.partition(",")[0], out),
        "seconds an image": round(_mean(rows, "seconds"), 3),
        "gap": max(errors, default=None),
        "each": [round(row["psnr"], 2) for row in rows],
    }


def _training(name: str, out: Path) -> float | None:
    """With what it started from."""
    if name not in RECIPES:
        return None
    told: dict[str, Any] = json.loads((out / name / "told.json").read_text())
    own = float(told["seconds"])
    return own + math.fsum(_training(s, out) or 0 for s in told["starts"])


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    return math.fsum(row[key] for row in rows) / len(rows)
