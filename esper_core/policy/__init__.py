"""Acting: masks, the factored distribution, recurrent state, and the policy that composes network and critic."""
