//! The compiler pool: plans a build, runs compilers, keeps the object cache.
