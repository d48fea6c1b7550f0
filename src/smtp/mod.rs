//! Placeholder while the floor is being laid.
