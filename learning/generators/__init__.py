"""The shipped problems' data: how their features are drawn and how the target depends on them."""
