"""One module a noun of the `edgewise` command; each exposes `app`."""
