"""Manifest and account, compared; and the differences that may be mended."""
