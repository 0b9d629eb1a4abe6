"""What the bridge brings to the `edgewise` command: the prediction log, asked and exported."""
