//! A box, a broker and an ingest on loopback, and a page to try the promises on.
