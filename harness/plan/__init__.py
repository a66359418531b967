"""From a spec to the graph of unique stages."""
