"""Features for esper: what a policy sees of growing hosts."""
