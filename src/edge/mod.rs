//! Skeleton of `edge`.
