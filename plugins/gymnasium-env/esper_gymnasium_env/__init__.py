"""Gymnasium environments as environments of ours."""
