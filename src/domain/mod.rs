//! What a match is and what may happen to it: no I/O, no async, no clock.
