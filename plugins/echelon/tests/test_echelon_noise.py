"""Chance is a function of seed, time, purpose, corner and place alone."""

from __future__ import annotations

import numpy as np

from esper_echelon.simulation.noise import Purpose, uniform


def drawn(seeds, clock, substep=0, purpose=Purpose.AMS, places=12, side=0):
    sides = np.full(len(seeds), side)
    return uniform(np.array(seeds, np.uint64), np.array(clock, np.int64), sides, substep, purpose, places)


def test_it_is_as_it_was():
    """These numbers are part of every match that was ever recorded."""
    assert drawn([0, 2**64 - 1], [0, 239], 4)[:, :2].tolist() == [
        [0.5711300968800863, 0.0884109568386805],
        [0.5504557352509334, 0.8927225683855068],
    ]


def test_numbers_are_those_of_the_match_and_the_place_alone():
    together = drawn([1, 2, 3], [7, 8, 9])
    assert np.array_equal(together[1:2], drawn([2], [8]))
    both = drawn([2], [8], places=26)
    assert np.array_equal(both[:, :6], together[1:2, :6]) and np.array_equal(both[:, 13:19], together[1:2, 6:])


def test_luck_belongs_to_corners():
    one, other = drawn([1, 2], [7, 8]), drawn([1, 2], [7, 8], side=1)
    assert np.array_equal(one, np.roll(other, 6, axis=1)) and not np.array_equal(one, other)


def test_everything_that_differs_draws_anew_and_evenly():
    at = [
        (seed, clock, substep, purpose)
        for seed in range(8)
        for clock in range(16)
        for substep in range(5)
        for purpose in Purpose
    ]
    numbers = np.concatenate([drawn([seed], [clock], substep, purpose) for seed, clock, substep, purpose in at]).ravel()
    assert len(np.unique(numbers)) == len(numbers) == len(at) * 12
    assert numbers.min() >= 0 and numbers.max() < 1
    counts = np.histogram(numbers, 16, (0, 1))[0]
    expected = len(numbers) / 16
    assert ((counts - expected) ** 2 / expected).sum() < 37.7, "chi squared with 15 degrees of freedom, p = 0.001"
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.02
