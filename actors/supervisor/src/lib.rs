//! The farm: starts, watches and restarts the actors that own boards; to be embedded.
