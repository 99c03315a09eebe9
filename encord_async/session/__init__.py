"""One operation at a time: settings, pacing, retrying and the HTTP transport. Knows nothing of manifests."""
