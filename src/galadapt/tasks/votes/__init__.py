"""Galaxy images with the votes of volunteers: simulated, or the user's own.

Modules: `galaxies` (a galaxy in three bands), `telescope` (PSF, noise, colour image), `volunteers`
(from what can be seen to votes), `simulate` (stamp sets of them).
"""
