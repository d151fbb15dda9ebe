"""The papers' printed numbers (CSV files stay in published/)."""
