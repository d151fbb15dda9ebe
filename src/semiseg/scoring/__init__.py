"""From label maps to numbers: distances, rules, means, intervals, tests."""
