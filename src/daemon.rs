//! Skeleton of the daemon.
