"""A local Encord: the envelope API and REST v2, as strict as what is known of the real one, with faults on demand.

It is built from the facts in :mod:`encord_async.protocol.catalogue` and from nothing else of this package, so it never
forgives the client its own mistakes. It never listens anywhere but on this machine.

    async with Emulator(EmulatorSettings()) as emulator:
        ...  # a client for emulator.url, with emulator.private_key

Where it is known or suspected to differ from the real service (nothing below is documented by the vendor):

============================  ============================================================================
question                      what the emulator does
============================  ============================================================================
HTTP status of a refusal      200, or 400 with ``failure_http_status``; ``status`` in the body is always 400
unknown key, wrong signature  SSH_KEY_NOT_FOUND_ERROR only if the signature is right, else AUTHENTICATION_ERROR
resource out of reach         AUTHORISATION_ERROR if it exists, RESOURCE_NOT_FOUND_ERROR if it does not
project API keys              attach, detach, add users and read whatever their scopes; label rows need
                              ``label.read``; datasets have to be those of the key's maker
rate limit                    none, or one token bucket for everybody, before the signature is looked at
size of a body                10 MiB, then HTTP 413
lists as JSON text            taken, as on the vendor's page; refused with ``strict``
``uid`` null for add users    taken; refused with ``strict``
attaching twice               true, and nothing changes; detaching what is not attached likewise
one unknown dataset           RESOURCE_NOT_FOUND_ERROR, and none of the list is attached or created
titles                        need not be unique; must not be empty
unknown e-mail addresses      become users without a key
``_like`` filters             case counts, there is no escape character
read after write              at once, unless the fault ``stale_read`` says otherwise; that fault delays what is
                              new, not what was removed
order of listings             by creation; the other way round with ``newest_first``; storage as it is asked
a missing description         "" for filters; nothing that can be asked for with ``null_descriptions``
team managers                 read the project; only Admins change it
copy of a project             datasets and collaborators; labels and models are accepted and passed over
label rows                    always empty
bearer tokens                 those of a seed (``bearer_token``) and those asked for over REST; they do not expire
connections                   kept open for 75 s; HTTP/1.1 only
REST: which calls             those in ``REST_CALLS`` of the catalogue; another path is HTTP 404, another method 405
REST: age of a signature      300 s before or after now (``signature_window_s``)
REST: form of a signature     only the one that the official SDK writes, member by member
REST: success without result  HTTP 204
REST: malformed values        HTTP 422; 400 for a foreign page token and for what contradicts itself
REST: unknown members         passed over; refused in storage and workflow, in queries too
REST: pages                   every listing with ``results``, 100 at once (``page_size``); a token counts entries
REST: the organisation        one for everybody; the first user with a key is its Admin, the others are Members
REST: Admin of organisation   sees all with ``includeOrgAccess``, removes Admins of projects, keeps users and tags
REST: groups                  give nobody access by themselves; who made one manages it, and so do Admins
REST: a group once more       takes the new role in the project
REST: ontology of a project   readable to every member of the project, too
REST: creator of a project    who has been a member of it longest
REST: removed members         keep their projects and datasets
storage: names of folders     need not be unique; a right in a folder holds in those below it
storage: ``search``           a part of the name, in any case
storage: pages                as long as asked for, 100 if nothing is; ``page_size`` does not count there
storage: changed metadata     replace those before
storage: a removed folder     takes with it what is in it; one that a dataset mirrors stays
storage: jobs                 take ``job_s``; units are done evenly one after the other; a job or item that does not
                              exist is AUTHORISATION_ERROR, as a folder is
storage: skipped duplicates   count as done; known by their first URL, also while a job is still at them
storage: one unit failed      the others stay; which ones fail is a seed's ``unreadable_urls``
storage: cancelled jobs       what was made stays
storage: polls                are held for 60 s at most
storage: names of items       the last part of the URL, if there is no title
storage: syncs                find a seed's ``objects`` of the integration below the folder's URL; add, never remove
data rows: who links          Admins of the dataset who may use the folders; ``FAIL`` is RESOURCE_EXISTS_ERROR
data rows: the answer         has the new rows alone
workflow: templates           a seed's ``workflow_templates``, or a project, whose workflow is taken; without one
                              Annotate 1, Review 1, Complete
workflow: tasks               one a data row, in the first stage of annotation, ``job_s`` after data and dataset were
                              there; nobody labels, so they stay
workflow: actions             all or nothing; assignees have to be users of the project; ASSIGN and RELEASE alone
============================  ============================================================================
"""

from encord_async.emulator.faults import Fault, FaultRule, FaultRuleError, read_fault_rules
from encord_async.emulator.seed import (
    Seed,
    SeedDataset,
    SeedError,
    SeedFolder,
    SeedIntegration,
    SeedOntology,
    SeedProject,
    SeedStage,
    SeedTemplate,
    SeedUser,
    default_seed,
    read_seed,
    stand_ins,
)
from encord_async.emulator.server import Emulator, EmulatorSettings, SettingsError
from encord_async.emulator.store import StateError

__all__ = [
    "Emulator",
    "EmulatorSettings",
    "Fault",
    "FaultRule",
    "FaultRuleError",
    "Seed",
    "SeedDataset",
    "SeedError",
    "SeedFolder",
    "SeedIntegration",
    "SeedOntology",
    "SeedProject",
    "SeedStage",
    "SeedTemplate",
    "SeedUser",
    "SettingsError",
    "StateError",
    "default_seed",
    "read_fault_rules",
    "read_seed",
    "stand_ins",
]
