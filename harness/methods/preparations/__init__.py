"""What methods share and a plan computes once (kind ``preparations``)."""
