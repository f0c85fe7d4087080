"""The options of ``ergodual train``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class TrainOptions:
    """What is learned, from what, how, and where it goes."""

    corpus: Path
    """Folder of WAV or FLAC files to learn from, all of one sampling rate; subfolders count too."""
    out: Path
    """Folder for the results; it must be new or empty, unless --resume is given."""
    dev: Path | None = None
    """Folder of recordings that are not learned from, to choose the best epoch by."""
    model: Literal["frames", "network", "convex"] = "frames"
    """What is learned: one operator for frames, the paper's; for whole recordings, an operator of
    each iteration (network), or one convex problem, which the iterations approach (convex). Those
    take --bits, --quantizer, --depth, --frame, --loss, --lr, --batch, --epochs, --bias, --init,
    --seed and --precision; an epoch draws as many samples as there are.
    """
    bits: int = 4
    """Word length of the quantizer, 1 to 16."""
    quantizer: Literal["mid-rise", "mu-law", "a-law"] = "mid-rise"
    """Its kind; the two of G.711 have 8 bits and are learned in half-steps."""
    depth: int = 8
    """Iterations of the algorithm."""
    output: Literal["plain", "ergodic"] = "ergodic"
    """The estimate: the last iterate (plain), or the average with weights proportional to 1/k
    (ergodic).
    """
    loss: Literal["squared", "spectral"] = "squared"
    """Of whole recordings, what is made small: the squared error in dB (squared), or the sum of
    that and the mean distance of the log spectra in dB, each with the weight 1 (spectral), which
    gives up some SNR for spectra that are nearer. The log and the choice of the best epoch are by
    the same loss.
    """
    optimizer: Literal["sgd", "adam"] = "sgd"
    """How the parameters move."""
    learn: tuple[Literal["K", "steps", "weights"], ...] = ("K",)
    """What is learned: the operator K, the step sizes, the averaging weights; any of them together.
    """
    steps: Literal["balanced", "weighted"] = "balanced"
    """Step sizes: sigma = tau = 0.99/|K|, or sigma = W * 0.99/|K| and tau = 0.99/(W |K|); where
    learned ones start."""
    weight: float = 1.0
    """W, for weighted steps."""
    per_iteration: bool = False
    """Learn a pair of step sizes for each iteration instead of one for all."""
    relative: bool = False
    """Learn step sizes in units of 1/|K|, so that they follow K as it grows; steadier for many
    rows, iterations or large rates."""
    lr: float | None = None
    """Learning rate of the first epoch; None means 0.001 for adam, and for sgd 0.002, or 0.05 in
    units of the signal; 0.0007 for whole recordings."""
    schedule: Literal["sqrt", "inverse", "cosine", "constant"] = "sqrt"
    """Learning rate of epoch e = 0, 1, ...: lr/sqrt(1 + e), lr/(1 + e), half a cosine down to 0, or
    lr.
    """
    warmup: int = 0
    """Mini-batches of the first epoch over which the learning rate rises to its value."""
    lr_scale: float = 1.0
    """Learning rate of the step sizes and averaging weights, relative to that of K."""
    batch: int | None = None
    """Frames a mini-batch, or pieces of recordings; many processes share them. None means 32, or 8.
    """
    epochs: int = 20
    """How often all frames are seen."""
    frame: int = 320
    """Samples a frame (20 ms at 16 kHz)."""
    rows: int | None = None
    """Rows of K; None means as many as a frame has samples, and more are allowed."""
    regulariser: Literal["l1", "l21"] = "l1"
    """What K's coefficients are put through: their l1 norm, or that of their pairs (l21: rows k and
    k + ROWS/2 together).
    """
    units: Literal["signal", "half-steps"] = "half-steps"
    """What a frame is measured in: with half-steps of the quantizer, the model is one for
    dequantize, which takes any volume; signal is the paper's, for figures.
    """
    shift: bool = False
    """Cut the frames at another, random place in every epoch."""
    bias: float = 0.0
    """With --shift: a quarter of the frames get a constant of up to so many (smallest) steps of the
    quantizer, as converters add them. Of whole recordings: a quarter of the pieces is quantized to
    levels that are moved by so many steps; 0.5 brings a level at 0.
    """
    windowed: bool = False
    """Weight the loss by the window under which dequantize averages overlapping frames."""
    init: Path | None = None
    """A trained model of the same shape to start from, perhaps one for another word length."""
    seed: int = 0
    """Decides the order of the frames."""
    threads: int = 1
    """Threads for the products. Results are equal bit for bit for an equal number; 2 idle cores
    learn 1.5 times as fast as 1, and threads that have to share their cores with other programs are
    slower than one.
    """
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute: on the GPU if there is one (auto), or as said."""
    precision: Literal["highest", "high", "medium"] = "highest"
    """Of the products: float32; TF32 (high) or bfloat16 (medium) where the device has them, with an
    error in the gradient. For whole recordings medium is bfloat16 in learning alone: 1.5 times as
    fast where the processor has it.
    """
    memory: float = 0.5
    """Gigabytes that the samples may take in memory; a larger corpus is decoded once into a file
    and read from there.
    """
    store: Path | None = None
    """Folder for that file, which takes four bytes a sample; OUT/samples if None. Runs on the same
    recordings can share it.
    """
    checkpoint_every: int = 5000
    """A checkpoint is written after every epoch, and after so many mini-batches of it."""
    resume: bool = False
    """Go on with the run that OUT holds, with its options where none are given; there may be more
    epochs, and the recordings may lie elsewhere. A process that torchrun has started again does so
    in any case.
    """
    tensorboard: bool = False
    """Write TensorBoard events to OUT too (needs pip install ergodual[tensorboard])."""

    @property
    def resumes(self) -> bool:
        """Whether it goes on with what OUT holds."""
        return self.resume or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"

    @property
    def folders(self) -> dict[str, Path]:
        """Of the recordings, by what they are for."""
        return {"train": self.corpus} | ({} if self.dev is None else {"dev": self.dev})
