//! What is in a wheel, learnt from a server that sends parts, or does not, or lies.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../archives/builder.rs"]
mod builder;
#[path = "../dice.rs"]
mod dice;
mod hostile;
mod kept;
mod origins;
mod records;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../fetch/server.rs"]
mod server;
mod site;
mod wheels;
