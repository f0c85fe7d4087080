"""Regularisers and networks for images: trained on one folder, measured on another."""
