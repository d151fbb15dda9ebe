"""Proof of results: chains of lineage records, audits of them, trees and research objects."""
