"""Task galaxies: magnitude, radius, Sersic index and ellipticity."""
