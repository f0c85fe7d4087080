"""``ergodual train --model frames``: one operator for frames, as in the paper."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ergodual.bilevel import HalfSquared, fit
from ergodual.cli.corpora import describe, open_corpora
from ergodual.cli.progress import progress_bar
from ergodual.cli.run_folder import Recorder, RunFolder, initial, kept_of, say_outcome
from ergodual.cli.train_checks import quantizer_of_run
from ergodual.errors import ErgodualError
from ergodual.speech.corpora import Corpus, bytes_of, find_audio
from ergodual.speech.frames import window
from ergodual.speech.half_steps import Companded
from ergodual.speech.model import ModelSpec, build
from ergodual.speech.quantizers import MidRise

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ergodual.bilevel.workers import Workers
    from ergodual.cli.train_options import TrainOptions
    from ergodual.primal_dual import Unrolled


def learn(
    options: TrainOptions, config: dict[str, Any], device: torch.device, workers: Workers
) -> None:
    """Learn, and write what OUT gets."""
    quantizer = quantizer_of_run(options)
    model, spec = _model(options, device)
    if options.shift and bytes_of(find_audio(options.corpus)) > options.memory * 1e9:
        raise ErgodualError(
            f"{options.corpus} is larger than --memory, where frames can be shifted; raise it, "
            "or leave out --shift."
        )
    folder, folders = RunFolder(options.out, options.resumes), options.folders
    store = options.store or options.out / "samples"
    unit = 1.0 if options.units == "signal" else quantizer.step / 2
    # of G.711 the frames stay in one unit, so that the loss weighs them as the SNR does, and
    # the model measures each in its own
    learner = (
        model if isinstance(quantizer, MidRise) else Companded(model, quantizer.scaled(1 / unit))
    )
    loss = HalfSquared(window(options.frame).float().to(device) if options.windowed else None)

    def pair(frames: Tensor) -> tuple[Tensor, Tensor]:
        x_true = frames.to(device)
        return quantizer.quantize(x_true) / unit, x_true / unit

    with contextlib.ExitStack() as claimed:
        corpora = open_corpora(
            folders,
            options.frame,
            options.memory,
            store,
            workers,
            lambda: claimed.enter_context(folder.claimed(config)),
        )
        corpus, dev = corpora["train"], corpora.get("dev")
        data = (
            corpus.shifted(pair, options.bias * quantizer.step)
            if options.shift and isinstance(corpus, Corpus)
            else corpus.data(pair)
        )

    console = Console(soft_wrap=True, quiet=not workers.leads)
    for name, loaded in corpora.items():
        describe(console, folders[name], loaded, options.frame)
    metadata = {
        "bits": options.bits,
        "quantizer": options.quantizer,
        "rate": corpus.rate,
        "training": config,
    }
    started, steps_done = folder.started()
    recorder = Recorder(folder, model, spec, metadata, started, options.tensorboard)
    batches = -(-len(corpus) // config["batch"])
    with progress_bar("mini-batches", show=workers.leads) as bar:
        done = batches * max(0, len(started.epochs) - 1) + steps_done
        task = bar.add_task("learning", total=batches * options.epochs, completed=done, note="")
        history = fit(
            learner,
            data,
            epochs=options.epochs,
            batch_size=config["batch"],
            optimizer=options.optimizer,
            lr=config["lr"],
            schedule=options.schedule,
            warmup=options.warmup,
            lr_scale=options.lr_scale,
            loss=loss,
            seed=options.seed,
            dev=None if dev is None else dev.data(pair),
            keep="best" if dev is None else "last",
            checkpoint=folder.checkpoint,
            checkpoint_every=options.checkpoint_every,
            resume=folder.resume,
            identity=kept_of(config)
            | {f"recordings of {name}": loaded.digest for name, loaded in corpora.items()},
            on_epoch=recorder.add if workers.leads else None,
            on_step=lambda loss: bar.update(
                task, advance=1, note=f"{bar.tasks[0].speed or 0:.0f}/s  loss {loss:.4f}"
            ),
            workers=workers,
        )
    if not workers.leads:
        return
    recorder.finish(history)
    say_outcome(console, folder, history, "Mean of ½‖x̂ − x†‖² over the frames")


def _model(options: TrainOptions, device: torch.device) -> tuple[Unrolled, ModelSpec]:
    spec = ModelSpec(
        n=options.frame,
        depth=options.depth,
        output=options.output,
        steps=options.steps,
        weight=options.weight,
        learn=options.learn,
        per_iteration=options.per_iteration,
        relative=options.relative,
        m=options.rows,
        regulariser=options.regulariser,
        units=options.units,
    )
    model = build(spec, options.bits)
    if options.init is not None:
        model.load_state_dict(initial(options.init, spec))
    return model.to(device), spec
