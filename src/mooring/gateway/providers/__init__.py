"""One file per vendor; the file's name is the `type` in `mooring.toml`. These files never import each other."""
