"""A small model of whole recordings, which is no identity, and its file's metadata."""

from typing import Any

import torch

from ergodual.speech.network import Network, NetworkSpec

METADATA: dict[str, Any] = {"bits": 4, "quantizer": "mid-rise", "rate": 16_000}


def small(model: str = "network", seed: int = 0, **changes: Any) -> Network:
    """Its map gives something else everywhere."""
    sizes: dict[str, Any] = {"n": 32, "hop": 16, "pairs": 20, "depth": 3, "channels": 8}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(NetworkSpec(model=model, **(sizes | changes)))  # type: ignore[arg-type]
        torch.nn.init.normal_(network.map.last.weight, std=0.3)
    return network
