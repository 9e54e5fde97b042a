"""Star images: simulated frames, detection of stars in any frames, and their stamps."""
