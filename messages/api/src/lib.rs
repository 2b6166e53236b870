//! What a front end and a farm say to each other.
