//! The host against devices.
