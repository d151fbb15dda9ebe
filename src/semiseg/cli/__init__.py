"""The command line: one verb per rule of the workflow, and verbs for users. Slow imports wait until the verb runs."""
