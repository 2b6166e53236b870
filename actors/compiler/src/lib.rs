//! The compiler pool: plans a build, runs compilers, keeps the object cache.

pub mod cache;
pub mod graph;
pub mod properties;
pub mod sketch;
