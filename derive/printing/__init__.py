"""From blocks to the text of each target: balls, intervals, real pairs, lanes."""
