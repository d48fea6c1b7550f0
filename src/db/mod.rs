//! PostgreSQL: the private cluster.

pub mod cluster;
