"""From a camera, file or folder to the newest frame: sources, their reader thread, and when to connect again."""
