//! Placeholder while the floor is being laid.

pub mod view;
