//! Moves from one generation to another: forward, and back.

pub mod outcome;
pub mod rollback;
pub mod site;
pub mod upgrade;
