"""Task blobs."""
