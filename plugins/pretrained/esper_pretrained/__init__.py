"""A policy that is trained already: the run in `pretrained`, offered by the name of that folder."""
