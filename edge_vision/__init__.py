"""From picture to answer, once for all roles: find faces, crop by the manifest, run the interpreter."""
