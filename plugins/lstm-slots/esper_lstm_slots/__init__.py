"""The recurrent policy network `lstm-slots`: the same weights for any number of slots."""
