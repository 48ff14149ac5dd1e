//! Import what you have not downloaded yet.

pub mod error;
pub mod manifest;
pub mod name;
pub mod progress;
pub mod settings;
