"""Tags of pictures: probabilities of several taggers first, then rules that turn them into words."""
