"""Scripts that make the embedded default weights: data, training loops, measurement."""
