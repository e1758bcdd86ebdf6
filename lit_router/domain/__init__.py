"""The lives of parent and child orders, and what a slicer may see: pure."""
