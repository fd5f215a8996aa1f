"""The files of a link at addresses of their own, for notebooks and scripts: tables, the list of studies, TOML."""
