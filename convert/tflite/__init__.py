"""From a Keras network to float and int8 TFLite, and how the result is run."""
