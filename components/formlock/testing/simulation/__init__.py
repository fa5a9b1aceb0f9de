"""The simulated world: the real service over a simulated disk, router, network and pages, all driven by one seed (simulate.py)."""
