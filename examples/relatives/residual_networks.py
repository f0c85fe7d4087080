"""
[5] Primal-dual residual networks: an algorithm, loosened step by step
======================================================================

Brauer and Lorenz ("Primal-dual residual networks", arXiv 1806.05823) start from the primal-dual
algorithm for min_x F(Wx) + G(x), stopped after d iterations, and let go of what makes it one: first
W is learned, then each layer has a W of its own, and in the end a layer is a residual block,

    x⁺ = prox_G(x − τV prox_F*(σ(Wx + b))),

with W, V and b free and no memory but x. What is kept is the prox of G: every layer's output lies
within the cells of the quantizer, whatever was learned.

:Application: speech, dequantization
:Regulariser: ℓ1 analysis, learned
:Algorithm: unrolled, solve, reverse sweep
"""

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.speech.corpora import find_audio, load_corpus, synthetic_speech
from ergodual.speech.quantizers import MidRise

# %%
# Twelve clips of synthetic speech at 4 bits: nine to learn from, three to measure on
# -----------------------------------------------------------------------------------
# In half steps of the quantizer, so that the cells are x̃ ± 1.

torch.manual_seed(0)
DEPTH, quantizer = 5, MidRise(4)
files = find_audio(synthetic_speech())
corpus, test = load_corpus(files[:9]), load_corpus(files[9:])
x, truth = (part.frames / quantizer.radius for part in (corpus, test))
x_tilde, stored = (quantizer.quantize(part.frames) / quantizer.radius for part in (corpus, test))


def snr(estimate: Tensor) -> float:
    """Mean over the clips, in dB."""
    counts = torch.tensor([0, *test.ends]).diff().tolist()
    pairs = list(zip(truth.split(counts), (estimate - truth).split(counts), strict=True))
    each = [float(10 * (s.square().sum() / e.square().sum()).log10()) for s, e in pairs]
    return sum(each) / len(each)


# %%
# The algorithm, with the cosine transform
# ----------------------------------------

classical = ed.Problem(ed.L1(), ed.Box(radius=1.0), ed.Dense.dct(320)).requires_grad_(False)
found = {"stored": stored}
found["stopped"] = ed.Unrolled(classical, DEPTH, output=ed.Last())(stored)
solution = ed.solve(classical, stored, tol=1e-3)
found["solved"] = solution.x
print(f"solved to a relative gap of {float(solution.error.max()):.0e}")

# %%
# Three networks
# --------------
# ``Unmatched(W, U)`` is W there and V = Uᵀ back. A residual block is one iteration that starts at
# x, where the cells are x̃ − x ± 1; b is a translation of F.


def problem(unmatched: bool = False) -> ed.Problem:
    F: ed.Function = ed.L1(nn.Parameter(torch.ones(320)))
    K: ed.Operator = ed.Dense.dct(320)
    if unmatched:
        F = ed.Translated(F, nn.Parameter(torch.zeros(320)))
        K = ed.Unmatched(K, ed.Dense.dct(320))
    return ed.Problem(F, ed.Box(radius=1.0), K)


def unrolled(problems: list[ed.Problem]) -> ed.Unrolled:
    numbers = [nn.Parameter(torch.full((len(problems),), 0.99)) for _ in range(3)]
    return ed.Unrolled(problems, steps=ed.StepSizes.fixed(*numbers), output=ed.Last())


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(unrolled([problem(unmatched=True)]) for _ in range(DEPTH))

    def forward(self, x_tilde: Tensor) -> Tensor:
        x = x_tilde
        for block in self.blocks:
            to = x_tilde - x
            x = block(x, G=ed.Box(lower=(to - 1).clamp(max=0), upper=(to + 1).clamp(min=0)))
        return x


networks = {
    "tied": unrolled([problem()] * DEPTH),
    "untied": unrolled([problem() for _ in range(DEPTH)]),
    "residual": Residual(),
}
options = {"optimizer": "adam", "lr": 1e-3, "lr_scale": 10.0, "schedule": "cosine", "clip": 1.0}
for name, model in networks.items():
    fit(model, x_tilde, x, epochs=20, batch_size=64, **options)
    with torch.no_grad():
        found[name] = model(stored)
    outside = float((found[name] - stored).abs().max()) - 1
    count = sum(p.numel() for p in model.parameters())
    print(f"{name}: {count:,} parameters, {outside:.0e} outside of the cells")
for name, estimate in found.items():
    print(f"{name:<8} {snr(estimate):.2f} dB")

# %%
# What came out
# -------------
# Whatever is learned is ahead of the algorithm, which gains little from being brought to its end.
# From nine clips of one voice the million numbers of the residual network are not worth much more
# than the tenth of them that the tied one has.

figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
gains = [snr(estimate) - snr(stored) for estimate in found.values()]
axis.bar(list(found)[1:], gains[1:])
axis.set(ylabel="gain over what is stored, dB")
plt.show()

# %%
# Recordings of people, and images
# --------------------------------
# By ``make relatives``: speech of 4 bits, and the images of Set12 with noise of σ = 25, where G is
# a square and W is 24 filters of 5 × 5. About a quarter of a minute of learning each, three seeds:
#
# .. measured:: relatives/residual_networks.json
#    :by: kind
#
#    kind | kind
#    speech, dB | dB | .2f | task=speech
#    images, dB | dB | .2f | task=images
#
# As in the paper, **untied is ahead of tied, and tied of solved**, with every seed, and here also
# for images. The residual network, no algorithm any more, is as good as the untied one, no better.
#
# What our library adds: the certificate of what is solved, exact gradients by ``Reverse`` of all
# three, and the sentence by which ``solve`` refuses a V that is free.
