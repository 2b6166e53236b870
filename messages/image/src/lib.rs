//! What is handed to a device: pure functions over bytes.
