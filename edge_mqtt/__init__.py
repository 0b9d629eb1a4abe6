"""One broker address and one TLS policy for every role. No connection is made here."""
