"""Auto-scaling: reading what rules need, and deciding."""
