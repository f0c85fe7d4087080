"""``ergodual train --model network`` and ``convex``: models of whole recordings."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from ergodual.cli.corpora import describe, open_corpora
from ergodual.cli.progress import progress_bar
from ergodual.cli.run_folder import Recorder, RunFolder, initial, kept_of, say_outcome
from ergodual.cli.train_checks import quantizer_of_run
from ergodual.errors import ErgodualError
from ergodual.products import rounding_pays
from ergodual.speech.corpora import Corpus, bytes_of, find_audio
from ergodual.speech.crops import Cropping
from ergodual.speech.learning import LENGTH, Learning, Recipe
from ergodual.speech.network import Network, NetworkSpec

if TYPE_CHECKING:
    from ergodual.bilevel.workers import Workers
    from ergodual.cli.train_options import TrainOptions

SPECTRAL = 1.0
"""How many dB of the squared error a dB of the spectral distance is worth in --loss spectral."""


def learn(options: TrainOptions, config: dict[str, Any], workers: Workers) -> None:
    """Learn, and write what OUT gets."""
    network = _network(options)
    folder, folders = RunFolder(options.out, options.resumes), options.folders
    for source in folders.values():
        if bytes_of(find_audio(source)) > options.memory * 1e9:
            raise ErgodualError(
                f"{source} is larger than --memory, where whole recordings are learned from; raise "
                "it."
            )
    with contextlib.ExitStack() as claimed:
        corpora = open_corpora(
            folders,
            options.frame,
            options.memory,
            options.out / "samples",
            workers,
            lambda: claimed.enter_context(folder.claimed(config)),
        )
        recordings = {
            name: corpus.recordings
            for name, corpus in corpora.items()
            if isinstance(corpus, Corpus)
        }
        cropping = Cropping(recordings["train"], LENGTH, quantizer_of_run(options), options.bias)
    console = Console(soft_wrap=True, quiet=not workers.leads)
    rounded = options.precision == "medium"
    if rounded and not rounding_pays():
        console.print("This processor has no units for bfloat16: it is learned in float32.")
        rounded = False
    recipe = Recipe(
        options.epochs,
        config["batch"],
        config["lr"],
        options.seed,
        rounded,
        SPECTRAL if options.loss == "spectral" else 0.0,
    )
    learning = Learning(network, cropping, recordings.get("dev", []), recipe, workers)
    for name, loaded in corpora.items():
        describe(console, folders[name], loaded, options.frame)
    count = sum(p.numel() for p in network.parameters())
    console.print(f"{count:,} parameters; {learning.batches} mini-batches an epoch")
    metadata = {
        "bits": options.bits,
        "quantizer": options.quantizer,
        "rate": corpora["train"].rate,
        "training": config,
    }
    started, steps_done = folder.started()
    recorder = Recorder(folder, network, network.spec, metadata, started, options.tensorboard)
    with progress_bar("mini-batches", show=workers.leads) as bar:
        done = learning.batches * max(0, len(started.epochs) - 1) + steps_done
        total = learning.batches * options.epochs
        task = bar.add_task("learning", total=total, completed=done, note="")
        history = learning.run(
            folder.checkpoint,
            kept_of(config)
            | {f"recordings of {name}": loaded.digest for name, loaded in corpora.items()},
            options.checkpoint_every,
            recorder.add if workers.leads else lambda epoch: None,
            lambda loss: bar.update(
                task, advance=1, note=f"{bar.tasks[0].speed or 0:.0f}/s  loss {loss:.2f} dB"
            ),
        )
    if workers.leads:
        recorder.finish(history)
        title = "Mean squared error in half steps, in dB, mean over the recordings"
        if recipe.spectral:
            title += ", plus the spectral distance"
        say_outcome(console, folder, history, title)


def _network(options: TrainOptions) -> Network:
    spec = NetworkSpec(
        "convex" if options.model == "convex" else "network",
        n=options.frame,
        hop=options.frame // 2,
        pairs=options.frame,
        depth=options.depth,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = Network(spec)
    if options.init is not None:
        network.load_state_dict(initial(options.init, spec))
    return network
