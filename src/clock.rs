//! The time, and random numbers.

/// Seconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |past| past.as_secs())
}

/// The same in microseconds: what came first is told, too.
pub fn microseconds() -> u64 {
    let past = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    past.map_or(0, |past| u64::try_from(past.as_micros()).unwrap_or(u64::MAX))
}

/// A number from 0 to 1, to keep processes from doing the same at the same time.
pub fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) as f64 / u64::MAX as f64
}
