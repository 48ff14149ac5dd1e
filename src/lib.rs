//! Import what you have not downloaded yet.

pub mod activate;
pub mod assemble;
pub mod error;
pub mod fetch;
pub mod inventory;
pub mod layout;
pub mod listing;
pub mod manifest;
pub mod mount;
pub mod name;
pub mod origin;
pub mod plan;
pub mod progress;
pub mod publish;
#[cfg(feature = "python")]
mod py;
pub mod session;
pub mod settings;
pub mod sign;
pub mod store;
pub mod unit;
pub mod unpack;
pub mod upgrade;
