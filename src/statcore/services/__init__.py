"""Services: what a manager asks, in the shape in which its callers want the answer."""
