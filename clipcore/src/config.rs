//! Helpers that configuration structs share.

/// Durations as seconds in configuration files; refuses negative, infinite and absurd ones.
pub mod secs {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes seconds.
    ///
    /// # Errors
    /// Whatever the serialiser says.
    pub fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(d.as_secs_f64())
    }

    /// Reads seconds.
    ///
    /// # Errors
    /// For anything but a number from 0 to 1e7.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let secs = f64::deserialize(d)?;
        if !(0.0..=1e7).contains(&secs) {
            return Err(de::Error::custom(format!("{secs} is not a duration: give seconds from 0 to 1e7")));
        }
        Ok(Duration::from_secs_f64(secs))
    }
}
