"""The web editions: adapters that put a framework or a server around the service."""
