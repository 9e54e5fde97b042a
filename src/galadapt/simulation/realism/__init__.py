"""What separates a real stamp from a single Sersic profile plus noise.

`galaxies` makes composite galaxies and their neighbours, `instrument` varies PSF, depth and sky,
`archive` cuts and cleans stamps as archives do, `scene` puts them together. Every ingredient has
its own random stream per galaxy, so switching one on changes no other draw.

The mock survey has its own arms, bars, knots, PSF variation and sky in `galadapt.surveys.mock`, on
purpose in separate code after other recipes: a survey that shared the randomisation's ingredients
would only test whether a network remembers them.
"""
