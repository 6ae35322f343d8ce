"""Number formats, symbol views, histograms and tensor files."""
