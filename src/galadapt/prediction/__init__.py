"""Measuring galaxies with trained networks.

A package is made of finished runs (`make_package`) and read back (`package`); `describe` prints
it, `store` and `fetched` list and fetch packages, `coverage` draws the coverage of their errors.

`predict` goes from a user's images to a catalogue:

1. `inputs`: what the user names is opened and checked; `detection` where there is no catalogue;
2. `stamps`: every object is cut out of an image, a cutout or a stamp set;
3. `measure`: part by part, so that it can be continued, `ensemble` runs the networks;
4. `catalogue`: errors (`intervals`) and flags (`flags`) are added and the table is written;
5. `sheet`: a sample is drawn beside its models.
"""
