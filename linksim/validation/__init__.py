"""The simulator held against measurements and other simulators."""
