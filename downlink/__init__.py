"""The treaty between the two ends: what travels, in what order, in which bytes. Imports nothing else of Tianshu."""
