"""Training: tasks over spans, batches, the loop, checkpoints."""
