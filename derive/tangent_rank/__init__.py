"""Inner rooms of ``derive.model_rank``: tapes, rings, exponentials, dependencies, balls."""
