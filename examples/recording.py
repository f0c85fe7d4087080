"""
A recording restored: heard and seen
====================================

A clip of synthetic speech is stored with 4 bits. What is missing is estimated with the cosine
transform, and with the model that comes with the package.

:Application: speech, dequantization
:Regulariser: ℓ1 analysis, ℓ2,1 of pairs, learned operator
:Algorithm: solve, unrolled, averages
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import soundfile
import torch

import ergodual as ed
from ergodual.speech.measures import snr_db
from ergodual.speech.player import Player

# %%
# The clip, and what 4 bits leave of it.

clip = files("ergodual") / "data/synthetic/03-scotland-man.flac"
true, rate = soundfile.read(str(clip))
true = 0.99 * true / np.abs(true).max()
step = 2 / 2**4
stored = (np.floor(true / step) + 0.5) * step
Player(0.5 * stored, rate)

# %%
# The obvious way: the sparsest cosine coefficients in the cells
# --------------------------------------------------------------
# Frames of 320 samples, each solved until its duality gap proves that it is done. They do not
# overlap, and nothing in them is known of speech.

frames = torch.as_tensor(np.resize(stored, (len(stored) // 320, 320)))
problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=step / 2), K=ed.Dense.dct(320, torch.float64))
with_cosines = ed.solve(problem, frames, tol=1e-4).x.flatten().numpy()
Player(0.5 * with_cosines, rate)

# %%
# The better way: an operator that was learned from speech
# --------------------------------------------------------
# The model's frames overlap, its operator has 640 rows in pairs, and the average of its eight
# iterations is as near to the truth as training could bring it. The quantizer is worked out from
# the samples.

restored = ed.Dequantizer.load("speech-16k").restore(stored)
Player(0.5 * restored, rate)

# %%
# Every estimate lies in the cells of the quantizer, so no stored sample is contradicted.

signals = {"stored": stored, "cosines": with_cosines, "learned": restored}
figure, axes = plt.subplots(1, 4, figsize=(11, 3), sharey=True, layout="constrained")
for axis, (name, signal) in zip(axes, {"true": true, **signals}.items(), strict=True):
    with np.errstate(divide="ignore"):  # silence
        axis.specgram(signal, NFFT=512, Fs=rate, noverlap=384, vmin=-140, vmax=-30)
    axis.set(title=name, xlabel="s")
for name, signal in signals.items():
    print(f"{name:<8} {snr_db(true[: len(signal)], signal):6.2f} dB")
assert np.abs(restored - stored).max() <= step / 2 + 1e-9
plt.show()
