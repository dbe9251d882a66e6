"""Rate-accuracy curves: fronts, interpolation and Bjøntegaard differences."""
