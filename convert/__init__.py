"""Conversion by command, over the rooms `checks` and `tflite`; runs from the checkout."""
