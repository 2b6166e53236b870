//! Protocols spoken to devices, without I/O.
