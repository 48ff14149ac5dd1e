//! The code of a module: kept, or compiled from its verified source.

use std::sync::Arc;

use pyo3::exceptions::{PyImportError, PyOSError, PyUnicodeEncodeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::compiling::sharing;
use super::loader::relative;
use super::ready::{read, ready_or_successor};
use super::spec::{UnitHandle, machinery};
use crate::compile::Sharing;
use crate::error::{Error, Kind};
use crate::events::Event;
use crate::name::Digest;
use crate::py::bridge::audit;
use crate::py::bridge::detached::detached;
use crate::py::bridge::errors::{OrRaise, no_file, to_python};
use crate::py::bridge::listeners::deliver;
use crate::session::Session;
use crate::unit::MENDINGS;
use crate::uses::load::Module;

type Object<'py> = Bound<'py, PyAny>;

/// A module that is being loaded.
struct Loading<'a, 'py> {
    loader: &'a Object<'py>,
    handle: &'a UnitHandle,
    origin: &'a Bound<'py, PyString>,
    path: &'a str,
    module: Module<'a>,
}

/// The code object of a module: from the code pack, else compiled from the verified source.
#[pyfunction]
pub fn _get_code<'py>(
    py: Python<'py>,
    loader: &Object<'py>,
    handle: &Bound<'py, UnitHandle>,
    fullname: &Bound<'py, PyString>,
) -> PyResult<Object<'py>> {
    let name = loader.getattr(intern!(py, "name"))?;
    if !name.eq(fullname)? {
        return Err(PyImportError::new_err(format!("loader for {name} cannot handle {fullname}")));
    }
    let (session, handle) = ready_or_successor(loader, handle, fullname, None)?;
    let handle = handle.get();
    let origin = &loader.getattr(intern!(py, "_path"))?.cast_into::<PyString>()?;
    let path = &relative(&handle.unit, origin)?;
    let source = announce(py, session, handle, (fullname, origin, path))?;
    let module = session.module(&handle.unit, path.clone(), source).or_raise(py)?;
    let loading = Loading { loader, handle, origin, path, module };
    match loading.kept()? {
        Some(code) => Ok(code),
        None => loading.compiled(session),
    }
}

/// Tells that a module is loaded, and of which source.
fn announce(
    py: Python<'_>,
    session: &Session,
    handle: &UnitHandle,
    (fullname, origin, path): (&Bound<'_, PyString>, &Bound<'_, PyString>, &str),
) -> PyResult<Digest> {
    let events = &session.engine.events;
    events.emit(|| Event::Load { unit: fullname.to_string(), path: path.to_owned() });
    deliver(py, session)?;
    let source = handle.unit.digest_of(path);
    let source = source.ok_or_else(|| no_file(&origin.to_string_lossy()))?;
    audit::raise(py, ("magic_module.load", fullname, origin, source.to_hex()))?;
    Ok(source)
}

impl<'py> Loading<'_, 'py> {
    fn kept(&self) -> PyResult<Option<Object<'py>>> {
        let Some(marshalled) = self.module.kept() else { return Ok(None) };
        self.code_of(marshalled.as_ref())
    }

    /// Compiled here or by a helper, and kept.
    fn compiled(&self, session: &Session) -> PyResult<Object<'py>> {
        let (py, module) = (self.loader.py(), &self.module);
        let source = self.source()?;
        let compile =
            |source| self.loader.call_method1(intern!(py, "source_to_code"), (source, self.origin));
        if !module.keeps() {
            return compile(&source);
        }
        let sharing = sharing(py, session, self.loader)?;
        if let Some(code) = self.of_helper(sharing, &source)? {
            return Ok(code);
        }
        let code = compile(&source)?;
        let marshalled = py.import(intern!(py, "marshal"))?;
        let marshalled = marshalled.call_method1(intern!(py, "dumps"), (&code,))?;
        module.keep(marshalled.cast::<PyBytes>()?.as_bytes());
        if let Some(sharing) = sharing {
            let names: Vec<String> = code.getattr(intern!(py, "co_names"))?.extract()?;
            module.share(sharing, &names);
        }
        Ok(code)
    }

    /// As if it had been compiled here: audit hooks are told.
    fn of_helper(
        &self,
        sharing: Option<&Arc<Sharing>>,
        source: &Object<'py>,
    ) -> PyResult<Option<Object<'py>>> {
        let (py, module) = (self.loader.py(), &self.module);
        let Some(sharing) = sharing else { return Ok(None) };
        let Some(marshalled) = detached(py, || module.of_helper(sharing)) else { return Ok(None) };
        let Some(code) = self.code_of(&marshalled)? else { return Ok(None) };
        audit::raise(py, ("compile", source, self.origin))?;
        module.keep(&marshalled);
        Ok(Some(code))
    }

    /// Marshalled code, with the path that it has here: whoever compiled it may decode paths in
    /// another way. `None`: it is none of this interpreter's.
    fn code_of(&self, marshalled: &[u8]) -> PyResult<Option<Object<'py>>> {
        let py = self.loader.py();
        let machinery = machinery(py)?;
        let bytes = PyBytes::new(py, marshalled);
        let Ok(code) = machinery.unmarshal.bind(py).call1((bytes,)) else { return Ok(None) };
        machinery.fix_co_filename.bind(py).call1((&code, self.origin))?;
        Ok(Some(code))
    }

    /// The verified bytes of the source, read as PEP 578 wants code to be read. A code pack is
    /// made of nothing else, so that a warm import needs no file of the tree.
    fn source(&self) -> PyResult<Object<'py>> {
        let py = self.loader.py();
        for _ in 0..MENDINGS {
            match self.opened() {
                Ok(Some(bytes)) => return Ok(bytes),
                Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(py) => {
                    return Err(to_python(py, &self.not_encoded()));
                }
                Err(error) if !error.is_instance_of::<PyOSError>(py) => return Err(error),
                // What is damaged is mended, or refused, before it is read once more.
                _ => drop(read(py, self.handle, self.path)?),
            }
        }
        self.opened()?.ok_or_else(|| to_python(py, &self.not_pinned()))
    }

    /// `None`: the bytes are not those that were pinned.
    fn opened(&self) -> PyResult<Option<Object<'py>>> {
        let io = self.loader.py().import("_io")?;
        let file = io.call_method1("open_code", (self.origin,))?;
        let bytes = file.call_method0("read");
        file.call_method0("close")?;
        let bytes = bytes?;
        let right = Digest::of(bytes.cast::<PyBytes>()?.as_bytes()) == self.module.source;
        Ok(right.then_some(bytes))
    }

    fn not_encoded(&self) -> Error {
        let origin = self.origin;
        let what = format!("cannot open {origin}: the file system's encoding lacks its letters");
        Error::new(Kind::Store, what)
            .name(self.handle.unit.full_name.clone())
            .hint("set PYTHONUTF8=1, or set MAGIC_MODULE_CACHE_DIR to a folder whose path is ASCII")
    }

    fn not_pinned(&self) -> Error {
        Error::new(Kind::Integrity, format!("{} is not what was pinned", self.origin))
            .name(self.handle.unit.full_name.clone())
            .path(self.origin.to_string())
            .expected(self.module.source.to_hex())
            .hint("run `magic-module verify`")
    }
}
