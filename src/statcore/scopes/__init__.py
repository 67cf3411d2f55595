"""What a caller may see: a `Scope`, and `confine`, which returns the ports of a runtime that cannot read outside it."""

from statcore.scopes.confinement import confine
from statcore.scopes.metrics import ConfinedMetrics
from statcore.scopes.scope import Scope

__all__ = ["ConfinedMetrics", "Scope", "confine"]
