"""
[4] Speech with few bits: the sparsest cosine coefficients
==========================================================

Brauer, Gerkmann and Lorenz ("Sparse reconstruction of quantized speech signals", ICASSP 2016) cut
a recording that was stored with too few bits into frames. A stored sample x̃ tells that the true
one lies within half a step of it; among all frames in these cells they take the one whose
coefficients are the sparsest:

    minimise ‖Dx‖₁ subject to ‖x − x̃‖_∞ ≤ Δ/2,

D being the cosine transform here. Nothing is learned. The problem is solved by a primal-dual
algorithm, and it is the one that the paper of this library begins with.

:Application: speech, dequantization
:Regulariser: ℓ1 analysis
:Algorithm: solve, certificates
"""

import matplotlib.pyplot as plt
import torch

import ergodual as ed
from ergodual.speech.corpora import find_audio, load_corpus, synthetic_speech
from ergodual.speech.player import Player
from ergodual.speech.quantizers import MidRise

# %%
# Four clips of synthetic speech, in frames of 20 ms that do not overlap
# ----------------------------------------------------------------------

corpus = load_corpus(find_audio(synthetic_speech())[:4])
x = corpus.frames.double()
D = ed.Dense.dct(320, torch.float64)


def snr(estimate: torch.Tensor) -> float:
    """Mean over the clips, in dB."""
    counts = torch.tensor([0, *corpus.ends]).diff().tolist()
    pairs = zip(x.split(counts), (estimate - x).split(counts), strict=True)
    return sum(float(10 * (s.square().sum() / e.square().sum()).log10()) for s, e in pairs) / 4


# %%
# Solved for 2 to 8 bits
# ----------------------
# ``solve`` ends each frame when its duality gap proves that the ℓ1 norm is within a thousandth of
# the lowest, so that what comes out is the model's answer and not that of a number of iterations.

estimates, table = {}, []
for bits in range(2, 9):
    quantizer = MidRise(bits)
    stored = quantizer.quantize(x)
    problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=quantizer.radius), K=D)
    solution = ed.solve(problem, stored, tol=1e-3)
    estimates[bits] = stored, solution.x
    on_border = (solution.r.abs() > 0.999 * quantizer.radius).double().mean()
    table.append((bits, snr(stored), snr(solution.x)))
    print(
        f"{bits} bits: stored {table[-1][1]:6.2f} dB, solved {table[-1][2]:6.2f} dB; gap at most "
        f"{float(solution.error.max()):.0e}; {float(on_border):.0%} on the border of their cells"
    )

# %%
# What came out
# -------------
# The gain is large where little was stored, and falls with every bit. **From 6 bits on, solving is
# worse than doing nothing**, and the certificate says that no algorithm is to blame: this is what
# the sparsest frames are. Half of the samples or more end on the border of their cells. Where the
# coefficients of the truth are not zero that is a guess, and on the wrong side it is off by up to a
# whole step, while what was left in the middle is off by half a step at most.

bits, before, after = zip(*table, strict=True)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.plot(bits, before, "o-", color="0.6", label="stored")
left.plot(bits, after, "o-", label="solved")
left.set(xlabel="bits", ylabel="SNR, dB")
left.legend()
right.bar(bits, [b - a for a, b in zip(before, after, strict=True)])
right.axhline(0, color="k", linewidth=0.8)
right.set(xlabel="bits", ylabel="gain, dB")
plt.show()

# %%
# One of the clips at 3 bits, as it was stored, and as it was solved:

Player(0.5 * estimates[3][0][: corpus.ends[0]].flatten().numpy(), corpus.rate)

# %%

Player(0.5 * estimates[3][1][: corpus.ends[0]].flatten().numpy(), corpus.rate)

# %%
# Recordings of people
# --------------------
# The same on ten recordings of LibriSpeech, by ``make relatives``, solved as far:
#
# .. measured:: relatives/quantized_speech.json
#    :where: corpus=librispeech/dev
#
#    bits | bits
#    stored, dB | stored | .2f
#    solved, dB | solved | .2f
#    recordings that gained | gained | .0%
#    relative gap, at most | certified | .0e
#
# What our library adds is the certificate, and, as the gradient of the solution or of the
# iterations in D is exact, that D can be learned: :doc:`/gallery/recording` has one that gains at
# every word length.
