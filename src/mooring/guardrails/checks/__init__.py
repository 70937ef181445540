"""The built-in checks, one file each: file name = registered name = `type` in `mooring.toml`."""
