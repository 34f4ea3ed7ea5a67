//! Skeleton of `simulator`.
