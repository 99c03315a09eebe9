"""Reads ontology structures with the official SDK; run by the interpreter of its own environment.

A list of structures as JSON on standard input; on standard output what the SDK makes of each.
"""

import json
import sys

# The SDK is installed in its own environment, not in ours.
from encord.objects import OntologyStructure  # type: ignore[import-not-found] # see above

json.dump([OntologyStructure.from_dict(one).to_dict() for one in json.load(sys.stdin)], sys.stdout)
