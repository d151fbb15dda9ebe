"""From the raw scan to the stored case: readers, checks, preparation, store, splits."""
