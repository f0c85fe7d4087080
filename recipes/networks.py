"""Models of whole recordings, one word length after another."""

from __future__ import annotations

from pathlib import Path

from recipes.training import run_training

TUNED = "--epochs 5 --lr 3e-4 --init OUT/network-4/best.safetensors"
LONGER = "--epochs 10 --lr 3e-4 --init OUT/network-4/best.safetensors"
AGAIN = "--epochs 6 --lr 3e-4 --init OUT"
BRIEFLY = "--epochs 3 --lr 3e-4 --init OUT"
LIBRISPEECH = {
    "network-4": "--model network --bits 4 --bias 0.5 --epochs 13",
    "first-5": f"--model network --bits 5 --bias 0.5 {TUNED}",
    "first-6": f"--model network --bits 6 --bias 0.5 {TUNED}",
    "network-5": f"--model network --bits 5 --bias 0.5 {AGAIN}/first-5/best.safetensors",
    "network-6": f"--model network --bits 6 --bias 0.5 {AGAIN}/first-6/best.safetensors",
    "network-8": f"--model network --bits 8 --bias 0.5 {AGAIN}/network-6/best.safetensors",
    "network-g711": "--model network --bits 8 --quantizer mu-law "
    f"{BRIEFLY}/network-8/best.safetensors",
    "network-3": f"--model network --bits 3 --bias 0.5 {BRIEFLY}/network-4/best.safetensors",
}
"""What is called ``first`` is only begun from."""
IEEE = {
    "network-4": "--model network --bits 4 --epochs 60",
    "network-5": f"--model network --bits 5 {LONGER}",
    "network-6": f"--model network --bits 6 {LONGER}",
    "convex-4": "--model convex --bits 4 --epochs 10",
}


def train(corpus: str, options: dict[str, str], corpora: Path, out: Path) -> dict[str, str]:
    """Learn all of them into OUT/NAME, and give the commands; what is there is gone on with."""
    commands = {
        name: f"ergodual train --corpus {corpus}/train --dev {corpus}/dev --out OUT/{name} "
        f"{these} --precision medium"
        for name, these in options.items()
    }
    for command in commands.values():
        run_training(command.replace("OUT/", f"{out}/"), corpora, out)
    return {name: command.replace("OUT/", "") for name, command in commands.items()}
