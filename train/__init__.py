"""Training by command, over the rooms `loop`, `network`, `scoring` and `data`; runs from the checkout."""
