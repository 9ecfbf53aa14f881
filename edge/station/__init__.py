"""A station: one camera, one product, one place in the topic tree."""
