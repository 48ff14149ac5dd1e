//! Import what you have not downloaded yet.

pub mod error;
pub mod fetch;
pub mod manifest;
pub mod name;
pub mod origin;
pub mod progress;
pub mod settings;

pub mod store {
    pub mod blob;
    pub mod lock;
}
