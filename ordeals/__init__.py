"""Ordeals of the command line: files that are spoilt, runs that are killed."""
