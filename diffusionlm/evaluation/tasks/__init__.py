"""The tasks of an evaluation, one file each; they are found by being here."""
