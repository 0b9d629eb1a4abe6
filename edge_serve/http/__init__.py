"""HTTP/1.1 itself: what a request and an answer are, one connection, and all of them."""
