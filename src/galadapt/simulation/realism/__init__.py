"""What separates a real stamp from a single Sersic profile plus noise.

Every ingredient has its own random stream per galaxy, so switching one on changes no other draw.
The mock survey has its own arms, bars, knots, PSF variation and sky in `galadapt.surveys.mock`, on
purpose in separate code after other recipes: a survey that shared the ingredients of the training
would only test whether a network remembers them.
"""
