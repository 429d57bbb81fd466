"""The HTTP API: its routes, its bodies, and the web application around them."""
