//! One run of a job on one device, from request to verdict.
