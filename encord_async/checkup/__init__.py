"""What is assumed of the service, held against the service itself. Changes nothing unless asked to, and then little.

Findings hold no secret, no title and no address: they are fit to be shown to anybody.
"""
