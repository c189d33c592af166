"""Listens: REST routes, the socket, the page. Decides nothing: parts do, and this room carries words to them."""
