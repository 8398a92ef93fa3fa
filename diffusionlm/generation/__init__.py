"""One call of the pipeline: what was asked for (requests), how rows lie side by side (canvas_batch), what comes of it."""
