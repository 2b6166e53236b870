//! Whole-system tests, simulators, torture and benchmarks.
