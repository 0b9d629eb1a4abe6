"""Crops of faces for people to label: opt-in, sampled by known chances, sealed before they are stored or sent."""
