"""The oracle: the method from its equations, in NumPy alone."""
