//! What is remembered, over sled.
