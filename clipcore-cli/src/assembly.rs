//! Puts the library's parts together as the configuration says: the same detectors and fusion for `run`, `replay`
//! and `detect`, so that what is replayed is what ran.

use std::path::{Path, PathBuf};

use clipcore::detector::face::{FaceDetector, FaceExpressionDetector};
use clipcore::detector::{
    AudioLevelDetector, AudioTagger, ChatBurst, ChatKeyword, ChatLexicon, DynDetector, GameEventDetector,
    Loudness, MarkerDetector, VoiceActivity,
};
use clipcore::engine::Engine;
use clipcore::fusion::FusionFactory;
use clipcore::log::FileLogConfig;
use clipcore::pipeline::PipelineConfig;
use clipcore::recorder::Recorder;
use clipcore::source::media::{Input, MediaSource};
use clipcore::{CameraId, Consent, Result, StreamId};

use crate::config::Config;
use crate::models::Models;

/// The detectors that are shipped.
pub const DETECTORS: [&str; 11] = [
    "loudness",
    "audio_tagger",
    "voice_activity",
    "face",
    "audio_level",
    "chat_burst",
    "chat_keyword",
    "chat_lexicon",
    "face_expression",
    "game_event",
    "marker",
];

/// How the log of a run is laid out: where it is trimmed, in segments small enough, since a log drops whole ones.
pub fn log_config(config: &PipelineConfig) -> FileLogConfig {
    let usual = FileLogConfig::default();
    let segment_bytes = match (config.log_retain.is_zero(), config.log_max_bytes) {
        (true, 0) => usual.segment_bytes,
        (false, 0) => 256 << 10,
        (_, bytes) => (bytes / 8).clamp(64 << 10, usual.segment_bytes),
    };
    FileLogConfig { segment_bytes, ..usual }
}

/// Detectors of a camera's sound and pictures.
///
/// # Errors
/// `Config` where settings make no sense.
pub fn media_detectors(config: &Config, models: &Models) -> Result<Vec<Box<dyn DynDetector>>> {
    let set = &config.detectors;
    let mut all: Vec<Box<dyn DynDetector>> = vec![Box::new(Loudness::try_new(set.loudness.clone())?)];
    if let Some(card) = &models.audio {
        all.push(Box::new(AudioTagger::try_new(card, set.audio_tagger.clone())?));
    }
    if let Some(card) = &models.voice {
        all.push(Box::new(VoiceActivity::try_new(card, set.voice_activity.clone())?));
    }
    if let Some((finder, expression)) = &models.faces {
        let face = FaceDetector::try_new(set.face.clone(), finder.clone(), expression.clone())?;
        all.push(Box::new(face));
    }
    keep(config, all)
}

/// A camera that records into `recorder`, with the detectors of its sound and pictures.
///
/// # Errors
/// `Config` where settings make no sense.
pub fn media_source(
    config: &Config,
    models: &Models,
    input: Input,
    camera: &CameraId,
    recorder: Recorder,
) -> Result<MediaSource> {
    let mut source = MediaSource::new(input, camera.clone(), recorder)
        .with_config(config.media.clone())?
        .with_consent(config.consent)
        .with_models(models.registry.clone());
    for detector in media_detectors(config, models)? {
        source = source.with_detector(detector)?;
    }
    Ok(source)
}

/// Detectors of events.
///
/// # Errors
/// `Config` where settings make no sense.
pub fn event_detectors(config: &Config) -> Result<Vec<Box<dyn DynDetector>>> {
    let set = &config.detectors;
    let all: Vec<Box<dyn DynDetector>> = vec![
        Box::new(ChatBurst::try_new(set.chat_burst.clone())?),
        Box::new(ChatKeyword::try_new(set.chat_keyword.clone())?),
        Box::new(ChatLexicon::try_new(set.chat_lexicon.clone())?),
        Box::new(GameEventDetector::try_new(set.game_event.clone())?),
        Box::new(FaceExpressionDetector::try_new(set.face.expression.clone())?),
        Box::new(AudioLevelDetector::try_new(set.loudness.clone())?),
        Box::new(MarkerDetector::default()),
    ];
    keep(config, all)
}

/// Leaves out what is switched off and what consent does not cover: the absence of consent is no error, it is an answer.
fn keep(config: &Config, detectors: Vec<Box<dyn DynDetector>>) -> Result<Vec<Box<dyn DynDetector>>> {
    Ok(detectors
        .into_iter()
        .filter(|d| {
            let info = d.info();
            config.consent.covers(info.needs) && !config.detectors.off.iter().any(|off| *off == info.name)
        })
        .collect())
}

/// Detectors that would run if consent covered them, and what they need.
///
/// # Errors
/// `Config` where settings make no sense.
pub fn withheld(config: &Config, models: &Models) -> Result<Vec<(String, Consent)>> {
    let all = Config { consent: Consent::ALL, ..config.clone() };
    let detectors = event_detectors(&all)?.into_iter().chain(media_detectors(&all, models)?);
    let needs = detectors.map(|d| d.info()).map(|info| (info.name.to_string(), info.needs));
    // Its models are not even loaded without consent.
    let face = (models.faces.is_none() && !config.detectors.off.iter().any(|off| off == "face"))
        .then(|| ("face".to_owned(), Consent { face: true, ..Consent::NONE }));
    Ok(needs
        .chain(face)
        .filter(|(_, needs)| !config.consent.covers(*needs))
        .map(|(name, needs)| (name, config.consent.missing(needs)))
        .collect())
}

/// An engine with the detectors of events.
///
/// # Errors
/// `Config` where settings make no sense.
pub fn engine(config: &Config, fusion: &FusionFactory, stream: &StreamId) -> Result<Engine> {
    let mut engine = Engine::new(stream.clone(), fusion(stream))
        .with_config(config.engine.clone())
        .with_consent(config.consent);
    for detector in event_detectors(config)? {
        engine = engine.with_detector(detector)?;
    }
    Ok(engine)
}

/// Where a camera's recording lies in an output folder.
pub fn recording_dir(out: &Path, stream: &StreamId, camera: &CameraId) -> PathBuf {
    out.join("recordings").join(stream.as_str()).join(camera.as_str())
}
