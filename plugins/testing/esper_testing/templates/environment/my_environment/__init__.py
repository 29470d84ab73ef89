"""An environment for esper: machines that wear out."""
