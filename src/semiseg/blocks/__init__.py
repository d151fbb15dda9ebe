"""Building blocks of two or more methods: losses, ramps, perturbations, memories, contrasts."""
