//! The public functions, and what `magic_module._py` asks for: convert, wait, convert.

pub mod api;
pub mod mounting;
pub mod moving;
pub mod private;
pub mod types;
