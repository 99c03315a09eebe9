"""Many operations: the manifest, the plan, the run and what became of each entry."""
