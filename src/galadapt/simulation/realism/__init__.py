"""Realistic simulations: what a single Sersic profile plus noise lacks.

Every ingredient has its own random stream per galaxy: switching one on does not change the others.
The mock survey has its own arms, bars, knots, PSF variation and sky in `galadapt.surveys.mock`, on
purpose in separate code with other recipes: a survey that shared the ingredients of the training
would be no independent test.
"""
