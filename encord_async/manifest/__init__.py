"""Text to entries: files, streams, the checks of one entry and of all between them. Sends nothing."""
