//! When to try again, and when to give up.
//!
//! ```text
//! temporary fault   up to 4 attempts in a row that bring little, 0 to 0.4 s · 2ⁿ apart
//! Retry-After       is waited for, up to 20 s, and the pause is added
//! too slow          below 1 KiB/s over 5 s: up to 3 attempts
//! no answer         within 15 s, or no connection within 10 s: up to 2 attempts
//! deadline          60 s and what 16 KiB/s would take, over all attempts
//! another process   is not waited for any more if it brings nothing for that time, of 1 MiB at most
//! all else          ends the download at once
//! ```

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock::random;
use crate::error::Error;
use crate::origin::{Body, Fault, OriginError};

/// An attempt that brought this much was not in vain.
pub(super) const PROGRESS: u64 = 1 << 20;

/// How patient downloads are; the drawing above shows the defaults.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a connection to be made.
    pub connect: Duration,
    /// From the request to the head of the answer.
    pub headers: Duration,
    /// In a row that bring little.
    pub attempts: u32,
    /// That are too slow.
    pub slow_attempts: u32,
    /// That nobody answers.
    pub silent_attempts: u32,
    /// Before the second attempt, on average; doubled for each further one.
    pub backoff: Duration,
    /// The longest `Retry-After` that is waited for.
    pub retry_after: Duration,
    /// Over which speed is measured.
    pub window: Duration,
    /// Bytes a second that are too slow.
    pub slow: u64,
    /// The time that anything may take, and the speed that allows for more.
    pub deadline: Duration,
    /// In bytes a second.
    pub deadline_speed: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            headers: Duration::from_secs(15),
            attempts: 4,
            slow_attempts: 3,
            silent_attempts: 2,
            backoff: Duration::from_millis(200),
            retry_after: Duration::from_secs(20),
            window: Duration::from_secs(5),
            slow: 1024,
            deadline: Duration::from_secs(60),
            deadline_speed: 16 << 10,
        }
    }
}

impl Limits {
    /// How long `bytes` may take, all attempts together.
    pub fn time_for(&self, bytes: u64) -> Duration {
        self.deadline + Duration::from_secs(bytes / self.deadline_speed.max(1))
    }

    /// How long another process may bring nothing of `bytes`: a small artifact's whole time,
    /// and of a large one that of a part that is worth another attempt.
    pub fn standstill(&self, bytes: u64) -> Duration {
        self.time_for(bytes.min(PROGRESS))
    }
}

/// How one attempt failed.
#[derive(Debug)]
pub enum Failure {
    Broken(OriginError),
    Slow(OriginError),
    /// No attempt can help.
    Final(Error),
}

impl From<OriginError> for Failure {
    fn from(error: OriginError) -> Self {
        Self::Broken(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// The attempts at one thing.
#[derive(Debug)]
pub struct Attempts<'a> {
    limits: &'a Limits,
    made: u32,
    slow: u32,
    silent: u32,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self { limits, made: 0, slow: 0, silent: 0 }
    }

    /// Waits until the next attempt, or says why there is none. `gained` are the
    /// bytes that the failed one brought and that need not be fetched again.
    pub async fn again(&mut self, mut failure: Failure, gained: u64) -> Result<(), Failure> {
        if gained >= PROGRESS {
            self.made = 0;
        }
        self.made += 1;
        let is_over = match &failure {
            Failure::Final(_) => true,
            Failure::Slow(_) => {
                self.slow += 1;
                self.slow >= self.limits.slow_attempts
            }
            Failure::Broken(error) if error.fault != Fault::Temporary => true,
            Failure::Broken(error) => {
                self.silent += u32::from(error.silent);
                self.silent >= self.limits.silent_attempts
            }
        };
        let (Failure::Slow(error) | Failure::Broken(error)) = &mut failure else {
            return Err(failure);
        };
        let wanted = error.retry_after.unwrap_or_default();
        let too_long = wanted > self.limits.retry_after;
        if too_long && !is_over {
            error.hint = match people_time(wanted) {
                Some(time) => format!("try again in {time}").into(),
                None => "try again later".into(),
            };
        }
        if is_over || too_long || self.made >= self.limits.attempts {
            return Err(failure);
        }
        tokio::time::sleep(wanted + self.pause()).await;
        Ok(())
    }

    /// Anything up to twice its step: the processes of a cluster do not come back together, whether
    /// they failed together or were told when to come.
    fn pause(&self) -> Duration {
        let step = self.limits.backoff * 2_u32.saturating_pow(self.made.saturating_sub(1));
        step.mul_f64(2.0 * random())
    }
}

/// `None` for what nobody means: no server knows what will be in a month.
fn people_time(time: Duration) -> Option<String> {
    const DAY: u64 = 86_400;
    Some(match time.as_secs() {
        seconds @ ..=180 => format!("{seconds} seconds"),
        seconds @ ..=10_800 => format!("{} minutes", seconds.div_ceil(60)),
        seconds if seconds <= 3 * DAY => format!("{} hours", seconds.div_ceil(3600)),
        seconds if seconds <= 31 * DAY => format!("{} days", seconds.div_ceil(DAY)),
        _ => return None,
    })
}

/// Reads a body, and notices when it hardly moves: a time limit on each read
/// would never end one byte a second.
#[derive(Debug)]
pub struct Pace {
    window: Duration,
    slow: u64,
    since: Instant,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { window: limits.window, slow: limits.slow, since: Instant::now(), bytes: 0 }
    }

    pub(super) async fn next(&mut self, body: &mut dyn Body) -> Result<Option<Bytes>, Failure> {
        loop {
            let end = self.since + self.window;
            let Ok(chunk) = tokio::time::timeout_at(end, body.chunk()).await else {
                self.check()?;
                continue;
            };
            let chunk = chunk?;
            self.bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            if Instant::now() >= end && chunk.is_some() {
                self.check()?;
            }
            return Ok(chunk);
        }
    }

    /// The time since `from` was spent on this side.
    pub fn forgive(&mut self, from: Instant) {
        self.since += from.elapsed();
    }

    fn check(&mut self) -> Result<(), Failure> {
        let least = self.window.mul_f64(self.slow as f64).as_secs();
        if self.bytes < least.max(1) {
            return Err(Failure::Slow(OriginError::new(
                Fault::Temporary,
                format!("it is too slow, {} bytes in {} s", self.bytes, self.window.as_secs_f32()),
                "try again later, or check the network",
            )));
        }
        self.since = Instant::now();
        self.bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_anything_up_to_twice_a_step_that_doubles() {
        let limits = Limits::default();
        for (made, step) in [(1, 200), (2, 400), (3, 800)] {
            let attempts = Attempts { limits: &limits, made, slow: 0, silent: 0 };
            let pauses: Vec<u128> = (0..1000).map(|_| attempts.pause().as_millis()).collect();
            let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
            assert!(*least < step / 4 && (step * 7 / 4..=step * 2).contains(most), "{made}");
        }
    }

    #[test]
    fn a_deadline_grows_with_the_size() {
        let limits = Limits::default();
        assert_eq!(limits.time_for(0).as_secs(), 60);
        assert_eq!(limits.time_for(160 << 10).as_secs(), 70);
        assert_eq!(limits.standstill(160 << 10).as_secs(), 70);
        assert_eq!(limits.standstill(16 << 30), limits.time_for(1 << 20));
    }

    #[test]
    fn people_read_times() {
        let text = |seconds| people_time(Duration::from_secs(seconds)).unwrap_or_default();
        assert_eq!(text(30), "30 seconds");
        assert_eq!(text(601), "11 minutes");
        assert_eq!(text(36_000), "10 hours");
        assert_eq!(text(864_000), "10 days");
        assert_eq!(text(31_536_000), "");
        assert_eq!(text(u64::MAX), "");
    }
}
