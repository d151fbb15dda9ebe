"""The work of the workflow's rules: a file per rule, the table of rules, and running jobs by it."""
