//! Skeleton of `call`.
