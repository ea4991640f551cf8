"""A series, cut into windows, served in batches."""
