//! What the core answers becomes a dict.

/// A dict of named values: `dict!(py, name: value, …)`.
macro_rules! dict {
    ($py:expr, $($name:ident: $value:expr),+ $(,)?) => {{
        let dict = pyo3::types::PyDict::new($py);
        $(dict.set_item(stringify!($name), $value)?;)+
        dict
    }};
}

pub(crate) use dict;
