//! A lock as a supply.

pub mod choose;
