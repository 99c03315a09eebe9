"""A journal as a page for people to read. Reads the journal and nothing else."""
