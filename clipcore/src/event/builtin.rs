//! The payloads that clipcore ships, with their wire forms.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Event;
use crate::{Timestamp, WallTime};

/// `chat.message`: somebody wrote in chat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// A pseudonym or platform id; equal for messages of the same person.
    #[serde(deserialize_with = "super::parts::arc_str")]
    pub user: Arc<str>,
    /// The words; absent where the stream's consent does not cover chat text.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::parts::optional_arc_str"
    )]
    pub text: Option<Arc<str>>,
    /// Names of the emotes used, where the platform marks them.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub emotes: Arc<[Arc<str>]>,
    /// Badges of the author, for example `moderator`.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub badges: Arc<[Arc<str>]>,
}

fn is_empty(list: &Arc<[Arc<str>]>) -> bool {
    list.is_empty()
}

/// `chat.delete`: a moderator or the author took messages back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatDelete {
    /// All messages of this user, where given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    /// This one message, where given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Arc<str>>,
}

/// `chat.spike`: a relay that counts for itself reports a burst.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatSpike {
    /// Messages per second now.
    pub rate: f64,
    /// Messages per second usually, where the relay knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
}

/// `audio.level`: loudness measured elsewhere. At least one of the three levels is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioLevel {
    /// Root mean square, 0–1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rms: Option<f64>,
    /// Momentary loudness in LUFS (EBU R128).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lufs: Option<f64>,
    /// Peak, 0–1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<f64>,
    /// Length of the measured window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<f64>,
}

/// `face.expression`: expression scores computed elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceExpression {
    /// Score per expression name, each 0–1.
    pub scores: std::collections::BTreeMap<Arc<str>, f64>,
    /// Which person, where the producer tracks several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Arc<str>>,
}

/// `marker`: a person pressed "clip that".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Marker {
    /// What to call the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Arc<str>>,
    /// Who pressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
}

/// `game.event`: the game's own telemetry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GameEvent {
    /// `kill`, `streak`, `goal`, …
    pub kind: Arc<str>,
    /// How many (a streak of five).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// How much it matters; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

/// `platform.event`: the platform did something that changes how chat behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlatformEvent {
    /// `raid`, `gift_sub`, `hype_train`, `ad_start`, `ad_end`, …
    pub kind: Arc<str>,
    /// How many viewers or gifts, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How long it lasts in seconds, where the platform says so: an `ad_start` without one lasts until its `ad_end`.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "duration_seconds")]
    pub duration: Option<f64>,
}

/// `transcript`: reserved for speech-to-text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// The words.
    pub text: Arc<str>,
    /// When they begin.
    pub start: Timestamp,
    /// When they end.
    pub end: Timestamp,
}

/// `clock`: the edge says how far the stream's reference clock has come. Its `at` is that instant.
///
/// Watermarks move on these records alone, which is what makes a replay equal to the live run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Clock {
    /// Civil time at that instant, where a live source knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall: Option<WallTime>,
    /// The input has ended: nothing will come after this record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end: bool,
}

/// `epoch`: a camera's timestamps begin anew (start, reconnect, jump). Its `at` is the first instant
/// of the epoch on the stream's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// Counts from 0 for each camera.
    pub number: u32,
    /// Stream time = unwrapped PTS + this, in microseconds.
    pub offset_us: i64,
    /// Why it began: `start`, `reconnect`, `backward`, `jump`, `codec`.
    pub reason: Arc<str>,
    /// Civil time of the epoch's first instant, where a live source knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall: Option<WallTime>,
}

macro_rules! kinds {
    ($($payload:ty => $kind:literal),+ $(,)?) => {
        $(impl Event for $payload { const KIND: &'static str = $kind; })+

        impl super::Kinds {
            /// All payloads that clipcore ships.
            pub fn builtin() -> Self {
                let mut kinds = Self::empty();
                $(kinds.register_own::<$payload>();)+
                kinds.alias("chat_spike", ChatSpike::KIND);
                kinds.alias("audio_peak", AudioLevel::KIND);
                kinds.alias("face_snapshot", FaceExpression::KIND);
                kinds
            }
        }
    };
}

kinds! {
    ChatMessage => "chat.message",
    ChatDelete => "chat.delete",
    ChatSpike => "chat.spike",
    AudioLevel => "audio.level",
    FaceExpression => "face.expression",
    Marker => "marker",
    GameEvent => "game.event",
    PlatformEvent => "platform.event",
    Transcript => "transcript",
    Clock => "clock",
    EpochStart => "epoch",
}
