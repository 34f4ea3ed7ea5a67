//! Skeleton of `panel`.
