"""How sure a number of a table is: intervals over cases and runs, paired tests, effect sizes. No torch here."""
