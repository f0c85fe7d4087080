"""Long experiments: the shipped models, and the quality of dequantizing against other methods."""
