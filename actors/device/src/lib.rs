//! One device: identity, modes, drivers, fencing.
