use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, Result};

/// An instant on a stream's own timeline, in microseconds.
///
/// Epoch 0 of a stream keeps its publisher's presentation timestamps (PTS), so zero is whatever the
/// publisher calls zero, and negative values are legal. Arithmetic saturates: an absurd input can
/// give an absurd instant, never a panic. On the wire it is a number of seconds, from -1e9 to 1e9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The largest number of seconds that is taken as an instant from outside: about 31 years.
const MAX_SECS: f64 = 1e9;

impl Timestamp {
    /// The zero of the timeline.
    pub const ZERO: Self = Self(0);
    /// Earlier than every instant a stream can have.
    pub const MIN: Self = Self(i64::MIN);
    /// Later than every instant a stream can have; the watermark of an input that has ended.
    pub const MAX: Self = Self(i64::MAX);

    /// From microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// From whole seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// From seconds, rounded to the nearest microsecond.
    ///
    /// # Errors
    /// `InvalidInput` for NaN, infinities and magnitudes above 1e9 s.
    pub fn try_from_secs_f64(secs: f64) -> Result<Self> {
        if !secs.is_finite() || secs.abs() > MAX_SECS {
            let shown = if secs.abs() > MAX_SECS { format!("{secs:e}") } else { secs.to_string() };
            return Err(Error::invalid(format!("{shown} is not a time in seconds"))
                .with_hint("give seconds on the stream's timeline, at most 1e9"));
        }
        Ok(Self((secs * 1e6).round() as i64))
    }

    /// Microseconds since the timeline's zero.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Seconds since the timeline's zero.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Microseconds from `earlier` to `self`; negative where `self` is the earlier one.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Seconds from `earlier` to `self`; negative where `self` is the earlier one.
    pub fn secs_since(self, earlier: Self) -> f64 {
        self.micros_since(earlier) as f64 / 1e6
    }

    /// Moves by `micros`, which may be negative.
    #[must_use]
    pub const fn offset_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The last multiple of `period` at or before `self`.
    #[must_use]
    pub fn floor_to(self, period: Duration) -> Self {
        let p = duration_micros(period).max(1);
        Self(self.0.div_euclid(p).saturating_mul(p))
    }

    /// The first multiple of `period` strictly after `self`.
    #[must_use]
    pub fn next_multiple(self, period: Duration) -> Self {
        self.floor_to(period) + period
    }
}

fn duration_micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        self.offset_micros(duration_micros(rhs))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        self.offset_micros(-duration_micros(rhs))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        // What reaches beyond the instants that are read, as the roll of a clip at their edge does, is written as that edge.
        s.serialize_f64(self.as_secs_f64().clamp(-MAX_SECS, MAX_SECS))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::try_from_secs_f64(f64::deserialize(d)?).map_err(de::Error::custom)
    }
}

/// An instant of civil time: microseconds since 1970-01-01T00:00:00Z. RFC 3339 on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(i64);

/// The first and the last instant that RFC 3339 can write: 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z.
const FIRST_MICROS: i64 = -62_167_219_200_000_000;
const LAST_MICROS: i64 = 253_402_300_799_999_999;

impl WallTime {
    /// From microseconds since the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_unix_micros(self) -> i64 {
        self.0
    }

    /// Moves by `micros`, which may be negative.
    #[must_use]
    pub const fn offset_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Reads RFC 3339 with zero to nine fractional digits.
    ///
    /// # Errors
    /// `InvalidInput` where the text is not RFC 3339.
    pub fn parse(text: &str) -> Result<Self> {
        use time::format_description::well_known::Rfc3339;
        let t = time::OffsetDateTime::parse(text, &Rfc3339).map_err(|e| {
            Error::invalid(format!("{text:?} is not an RFC 3339 time"))
                .with_source(e)
                .with_hint("write it like 2026-11-23T01:02:03.456Z")
        })?;
        let micros = t.unix_timestamp_nanos().div_euclid(1000);
        // An offset can take the first and the last day out of the years that the form has.
        let inside = i64::try_from(micros).ok().filter(|m| (FIRST_MICROS..=LAST_MICROS).contains(m));
        inside.map(Self).ok_or_else(|| {
            Error::invalid(format!("{text:?} lies outside of the years that RFC 3339 can write"))
        })
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the form cannot write is shown as the nearest instant that it can.
        let micros = self.0.clamp(FIRST_MICROS, LAST_MICROS);
        let t = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
            .map_err(|_| fmt::Error)?;
        let (date, h, m, s) = (t.date(), t.hour(), t.minute(), t.second());
        write!(f, "{:04}-{:02}-{:02}T{h:02}:{m:02}:{s:02}", date.year(), u8::from(date.month()), date.day())?;
        match t.microsecond() {
            us if us % 1000 == 0 => write!(f, ".{:03}Z", us / 1000),
            us => write!(f, ".{us:06}Z"),
        }
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_survive_the_wire_exactly() {
        for micros in [0, 1, -1, 12_345_000, 239_843_000, 86_400_000_001, -5_000_003] {
            let t = Timestamp::from_micros(micros);
            let json = serde_json::to_string(&t).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), t, "{json}");
        }
    }

    #[test]
    fn every_instant_that_is_written_can_be_read_again() {
        let edge = Timestamp::try_from_secs_f64(MAX_SECS).unwrap();
        for t in [edge + Duration::from_secs(5), Timestamp::MAX, Timestamp::MIN] {
            let json = serde_json::to_string(&t).unwrap();
            let again: Timestamp = serde_json::from_str(&json).unwrap();
            assert_eq!(again.as_secs_f64().abs(), MAX_SECS, "{json}");
        }
    }

    #[test]
    fn absurd_seconds_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, -1e300] {
            assert!(Timestamp::try_from_secs_f64(bad).is_err());
        }
    }

    #[test]
    fn rfc3339_round_trips_with_any_number_of_digits() {
        for (text, back) in [
            ("2026-11-23T01:02:03Z", "2026-11-23T01:02:03.000Z"),
            ("2026-11-23T01:02:03.456Z", "2026-11-23T01:02:03.456Z"),
            ("2026-11-23T03:02:03.456789123+02:00", "2026-11-23T01:02:03.456789Z"),
        ] {
            assert_eq!(WallTime::parse(text).unwrap().to_string(), back);
        }
        assert!(WallTime::parse("yesterday").is_err());
    }

    #[test]
    fn what_is_taken_for_a_time_can_be_written_and_read_again() {
        for text in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0000-01-01T02:00:00+02:00"] {
            let time = WallTime::parse(text).unwrap();
            assert_eq!(WallTime::parse(&time.to_string()).unwrap(), time, "{text}");
        }
        // An offset takes these out of the years that can be written.
        for text in ["0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"] {
            assert!(WallTime::parse(text).unwrap_err().to_string().contains("RFC 3339"), "{text}");
        }
        for micros in [i64::MIN, -62_167_219_200_000_001, 253_402_300_800_000_000, i64::MAX] {
            let shown = WallTime::from_unix_micros(micros).to_string();
            assert!(WallTime::parse(&shown).is_ok(), "{shown}");
        }
    }

    #[test]
    fn ticks_floor_below_zero_too() {
        let p = Duration::from_secs(1);
        assert_eq!(Timestamp::from_millis(-1).floor_to(p), Timestamp::from_secs(-1));
        assert_eq!(Timestamp::from_secs(3).next_multiple(p), Timestamp::from_secs(4));
    }
}
