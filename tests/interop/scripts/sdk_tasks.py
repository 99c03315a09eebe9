"""The official SDK reads the stages and tasks of projects; run by its interpreter, without our package.

Reads the private key from standard input, takes domain and a project's hash as arguments, prints what it saw as JSON.
"""

import json
import sys

# The SDK is in this script's environment and not in that of the type checker.
from encord import EncordUserClient  # type: ignore[import-not-found] # see above

PEOPLE = ("ANNOTATION", "REVIEW")


def main() -> None:
    """See the module."""
    client = EncordUserClient.create_with_ssh_private_key(sys.stdin.read(), domain=sys.argv[1])
    project = client.get_project(sys.argv[2])
    seen = {
        stage.title: {task.data_title: [task.assignee, task.status.value] for task in stage.get_tasks()}
        for stage in project.workflow.stages
        if stage.stage_type.value in PEOPLE
    }
    json.dump({"stages": [stage.title for stage in project.workflow.stages], "tasks": seen}, sys.stdout)


main()
