//! What every actor stands on: asking by name, tasks, children, failpoints.
