//! How far a download has come, and whether an answer continues it.
//!
//! The rest is asked for only if the server named exactly what it sent so far,
//! and only an answer that says it is that rest is appended.

use crate::origin::{OriginError, PartOf, Response, Status, Validator};

#[derive(Debug, Default)]
pub(super) struct Resume {
    pub(super) received: u64,
    validator: Option<Validator>,
    /// Some of the bytes came as the rest of what another answer began.
    continued: bool,
    /// That turned out wrong once already.
    began_again: bool,
}

/// What to do with a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Append,
    /// It begins at the beginning.
    Afresh,
}

impl Resume {
    /// What to ask for instead of the whole, if that is possible.
    pub fn rest(&self) -> Option<(u64, &str)> {
        if self.received == 0 {
            return None;
        }
        Some((self.received, self.validator.as_ref()?.for_range()?))
    }

    /// The rest cannot be had: the next attempt asks for the whole.
    pub fn forget(&mut self) {
        self.validator = None;
    }

    /// True if what came in parts is wrong, and is worth one attempt at the whole.
    pub fn begin_again(&mut self) -> bool {
        let worth = self.continued && !self.began_again;
        if worth {
            *self = Self { began_again: true, ..Self::default() };
        }
        worth
    }

    pub(super) fn judge(&mut self, response: &Response, size: u64) -> Result<Answer, OriginError> {
        match response.status {
            Status::Part(part) => {
                let is_rest = |part: PartOf| {
                    part.first == self.received
                        && part.last.checked_add(1) == Some(size)
                        && part.total.is_none_or(|total| total == size)
                };
                let why = if self.is_of_another(response.validator.as_ref()) {
                    "the server answered with a part of something else"
                } else if part.is_some_and(is_rest) {
                    self.continued = true;
                    return Ok(Answer::Append);
                } else {
                    "the server answered with another part than was asked for"
                };
                self.forget();
                Err(OriginError::temporary(why))
            }
            Status::Whole | Status::NotModified => {
                self.validator.clone_from(&response.validator);
                self.continued = false;
                Ok(Answer::Afresh)
            }
        }
    }

    /// True if the answer itself says so: a cache on the way may not know conditions.
    fn is_of_another(&self, theirs: Option<&Validator>) -> bool {
        let (Some(ours), Some(theirs)) = (&self.validator, theirs) else { return false };
        let differ = |ours: &Option<String>, theirs: &Option<String>| {
            ours.is_some() && theirs.is_some() && ours != theirs
        };
        differ(&ours.etag, &theirs.etag) || differ(&ours.last_modified, &theirs.last_modified)
    }
}
