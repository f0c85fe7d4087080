"""Speech: quantizers, audio files, frames, corpora, measures and models."""
