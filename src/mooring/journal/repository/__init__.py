"""The journal's SQL, and only here: one module per subject, one function per statement.

Every function takes `tx, project_id` first; the few that cannot say why with `@cross_project(reason)`.
"""

from mooring.storage.projects import cross_project

__all__ = ["cross_project"]
