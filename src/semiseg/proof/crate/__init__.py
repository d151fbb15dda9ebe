"""Research objects (RO-Crate): results with everything behind them, written and read."""
