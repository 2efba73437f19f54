"""Tasks that come with TigerFlow."""
