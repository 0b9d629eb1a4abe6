"""The device: camera, vision, link, model updates, health."""
