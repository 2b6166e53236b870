//! What is persisted: versioned records, with golden bytes.
