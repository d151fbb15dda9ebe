"""Building blocks of methods, each once: losses, clocks, perturbations, memories, contrasts. They know no method."""
