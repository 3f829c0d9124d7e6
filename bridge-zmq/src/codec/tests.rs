//! Golden bytes, hostile bytes, and random bytes against a naive model.
