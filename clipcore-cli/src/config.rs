//! Configuration: a TOML file, over it the environment (`CLIPCORE__SECTION__KEY`), over that flags.
//!
//! An error names the key, where it was set, and the nearest key that exists.

use std::path::{Path, PathBuf};

use clipcore::cutter::CutterConfig;
use clipcore::detector::face::FaceConfig;
use clipcore::detector::{
    AudioTaggerConfig, ChatBurstConfig, ChatKeywordConfig, ChatLexiconConfig, GameEventConfig,
    LoudnessConfig, VoiceActivityConfig,
};
use clipcore::engine::EngineConfig;
use clipcore::fusion::FusionConfig;
use clipcore::gateway::GatewayConfig;
use clipcore::host::HostConfig;
use clipcore::pipeline::PipelineConfig;
use clipcore::recorder::RecorderConfig;
use clipcore::source::media::MediaConfig;
use clipcore::{Consent, Error, Result, StreamId};
use figment::error::{Actual, Kind};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Provider};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::assembly;
use crate::models::ModelsConfig;
use crate::privacy::PrivacyConfig;
use crate::shared::SharedConfig;
use crate::sinks::SinksConfig;
use crate::sources::SourcesConfig;
use crate::spelling::nearest;

const ENV_PREFIX: &str = "CLIPCORE__";

/// Everything that can be set. Each section is the configuration of a part of the library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The stream's id; from the input's name where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// The folder for clips, moments and the log.
    pub out: PathBuf,
    /// What the stream's people agreed to.
    pub consent: Consent,
    /// Order and lateness of events.
    pub engine: EngineConfig,
    /// How media is read.
    pub media: MediaConfig,
    /// How the rolling recording is kept.
    pub recorder: RecorderConfig,
    /// Which models run, and on what.
    pub models: ModelsConfig,
    /// Which detectors run, and how each is set.
    pub detectors: DetectorsConfig,
    /// What makes a moment.
    pub fusion: FusionConfig,
    /// What is made of a moment.
    pub clips: CutterConfig,
    /// Sizes and spans of the machinery.
    pub pipeline: PipelineConfig,
    /// Where events come from beside the inputs.
    pub sources: SourcesConfig,
    /// Where moments and clips go beside the output folder.
    pub sinks: SinksConfig,
    /// The logs that the processes of a deployment share.
    pub shared: SharedConfig,
    /// How many streams `serve` runs, and how long.
    pub host: HostConfig,
    /// Limits and secrets of `serve`.
    pub gateway: GatewayConfig,
    /// How data about people is kept, and for how long.
    pub privacy: PrivacyConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream: None,
            out: "clipcore-out".into(),
            consent: Consent::NONE,
            engine: EngineConfig::default(),
            media: MediaConfig::default(),
            recorder: RecorderConfig::default(),
            models: ModelsConfig::default(),
            detectors: DetectorsConfig::default(),
            fusion: FusionConfig::default(),
            clips: CutterConfig::default(),
            pipeline: PipelineConfig::default(),
            sources: SourcesConfig::default(),
            sinks: SinksConfig::default(),
            shared: SharedConfig::default(),
            host: HostConfig::default(),
            gateway: GatewayConfig::default(),
            privacy: PrivacyConfig::default(),
        }
    }
}

/// Which detectors run, and how each is set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectorsConfig {
    /// Names of detectors that are not to run.
    pub off: Vec<String>,
    /// How loud it gets.
    pub loudness: LoudnessConfig,
    /// What is heard: laughter, cheers, applause.
    pub audio_tagger: AudioTaggerConfig,
    /// Whether somebody speaks; needs models.voice.
    pub voice_activity: VoiceActivityConfig,
    /// How expressions of faces change; needs consent for face.
    pub face: FaceConfig,
    /// How chat erupts.
    pub chat_burst: ChatBurstConfig,
    /// Words that mean a moment; needs consent for chat_text.
    pub chat_keyword: ChatKeywordConfig,
    /// What chat feels; needs consent for chat_text.
    pub chat_lexicon: ChatLexiconConfig,
    /// What the game itself reports.
    pub game_event: GameEventConfig,
}

/// Settings that were given as flags; absent ones leave file and environment alone.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overrides {
    /// `--stream`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// `--out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// `--consent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// `--weights`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fusion: Option<FusionOverrides>,
}

/// Settings of `fusion` that were given as flags.
#[derive(Debug, Clone, Serialize)]
pub struct FusionOverrides {
    /// The weights file.
    pub weights: PathBuf,
}

impl Overrides {
    /// With `--weights`, where it was given.
    #[must_use]
    pub fn with_weights(self, weights: Option<&PathBuf>) -> Self {
        Self { fusion: weights.map(|path| FusionOverrides { weights: path.clone() }), ..self }
    }
}

impl Config {
    /// Reads the file (where one is named), the process's environment and the flags.
    ///
    /// # Errors
    /// `Config`, saying which key is wrong, where it was set and what would be right.
    pub fn load(file: Option<&Path>, flags: &Overrides) -> Result<Self> {
        Self::load_with(file, None, flags)
    }

    /// As [`load`](Self::load), for programs around this one: `values` has sections and keys like a file, and lies over the
    /// environment.
    ///
    /// # Errors
    /// As `load`.
    pub fn load_with(file: Option<&Path>, values: Option<&Value>, flags: &Overrides) -> Result<Self> {
        let mut over = Figment::new();
        if let Some(values) = values {
            over = over.merge(Serialized::defaults(values));
        }
        let over = over.merge(Serialized::defaults(flags));
        Self::load_from(file, Env::prefixed(ENV_PREFIX).split("__"), over)
    }

    fn load_from(file: Option<&Path>, env: impl Provider, over: impl Provider) -> Result<Self> {
        let mut figment = Figment::new();
        let mut text = String::new();
        if let Some(path) = file {
            text = std::fs::read_to_string(path).map_err(|e| {
                Error::config("the configuration file cannot be read")
                    .with_context("path", path.display())
                    .with_source(e)
                    .with_hint("name a TOML file after --config, or leave --config out")
            })?;
            figment = figment.merge(Toml::file_exact(path));
        }
        let config: Self = figment.merge(env).merge(over).extract().map_err(|e| explain(e, file, &text))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn validate(&self) -> Result<()> {
        let wrong = |key: &str, why: &str, hint: &str| {
            Err(Error::config(format!("{key} {why}")).with_context("key", key).with_hint(hint.to_owned()))
        };
        if self.out.as_os_str().is_empty() {
            return wrong("out", "is empty", "name the folder for clips, moments and the log");
        }
        if self.engine.max_buffered == 0 {
            return wrong("engine.max_buffered", "is 0", "at least one event must be able to wait");
        }
        if self.clips.parallel == 0 {
            return wrong("clips.parallel", "is 0", "at least one clip must be cut at a time");
        }
        for name in &self.detectors.off {
            if !assembly::DETECTORS.contains(&name.as_str()) {
                let hint = format!("known are {}", assembly::DETECTORS.join(", "));
                return wrong("detectors.off", &format!("names {name:?}, which there is not"), &hint);
            }
        }
        self.media.validate()?;
        self.detectors.audio_tagger.validate()?;
        self.detectors.voice_activity.validate()?;
        self.detectors.face.validate()?;
        self.recorder.validate()?;
        self.pipeline.validate()?;
        self.gateway.validate()?;
        self.shared.validate()?;
        self.fusion.setup().map_err(|e| match &self.fusion.weights {
            Some(path) => Error::config("the weights file cannot be used")
                .with_context("key", "fusion.weights")
                .with_context("path", path.display())
                .with_source(e)
                .with_hint("leave fusion.weights out for the shipped weights"),
            None => e,
        })?;
        Ok(())
    }

    /// All settings as TOML, as a file for `--config` would hold them.
    ///
    /// # Errors
    /// `Config` where a value has no TOML form.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|e| Error::config("the configuration cannot be written as TOML").with_source(e))
    }
}

/// Turns figment's error into one that points at the key.
fn explain(error: figment::Error, file: Option<&Path>, text: &str) -> Error {
    let path = error.path.clone();
    let from_env = error.metadata.as_ref().is_some_and(|m| m.name.contains("environment"));
    let mut key = path.clone();
    let (message, hint) = match &error.kind {
        Kind::UnknownField(name, known) => {
            // Whether figment's path holds the unknown key itself depends on how deep it lies.
            if key.last() != Some(name) {
                key.push(name.clone());
            }
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known here are {}", known.join(", ")),
            };
            (format!("unknown key {:?}", key.join(".")), Some(hint))
        }
        Kind::UnknownVariant(given, known) => {
            let hint = match nearest(given, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known are {}", known.join(", ")),
            };
            (format!("{} cannot be {given:?}", key.join(".")), Some(hint))
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            let given = shown(actual);
            (format!("{} is {given}, but should be {}", key.join("."), plain(expected)), None)
        }
        // Syntax errors have no key, and say line and column themselves.
        kind if key.is_empty() => (kind.to_string(), None),
        kind => (format!("{}: {kind}", key.join(".")), None),
    };
    let mut explained = Error::config(message);
    explained = match file {
        _ if from_env => {
            explained.with_context("environment", format!("{ENV_PREFIX}{}", key.join("__").to_uppercase()))
        }
        Some(file) => match line_of(text, &key) {
            Some(line) => explained.with_context("file", format!("{}, line {line}", file.display())),
            None => explained.with_context("file", file.display()),
        },
        None => explained,
    };
    match hint {
        Some(hint) => explained.with_hint(hint),
        None => explained,
    }
}

fn shown(actual: &Actual) -> String {
    match actual {
        Actual::Str(s) => format!("the text {s:?}"),
        Actual::Bool(b) => b.to_string(),
        Actual::Unsigned(n) => n.to_string(),
        Actual::Signed(n) => n.to_string(),
        Actual::Float(x) => x.to_string(),
        Actual::Map => "a section".to_owned(),
        Actual::Seq => "a list".to_owned(),
        other => other.to_string(),
    }
}

/// Rust's names for types, in words.
fn plain(expected: &str) -> String {
    match expected {
        "f64" | "f32" => "a number".to_owned(),
        "usize" | "u64" | "u32" => "a whole number, not negative".to_owned(),
        "i64" | "i32" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" => "a text in quotes".to_owned(),
        struct_name if struct_name.starts_with("struct ") => "a section".to_owned(),
        other => other.to_owned(),
    }
}

/// The line, from 1, on which a key stands in a TOML text.
fn line_of(text: &str, key: &[String]) -> Option<usize> {
    let root = toml::de::DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut found = None;
    for part in key {
        let (name, value) = table.iter().find(|(name, _)| name.get_ref().as_ref() == part.as_str())?;
        found = Some(name.span().start);
        match value.get_ref() {
            toml::de::DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    Some(text[..found?].matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> impl Provider {
        // As the environment arrives: keys split at the double underscore, under figment's own name for it.
        let mut list = Figment::new();
        for (key, value) in pairs {
            let key = key.strip_prefix(ENV_PREFIX).unwrap().to_lowercase().replace("__", ".");
            let value: figment::value::Value = value.parse().unwrap();
            list = list.merge(Named(Serialized::default(&key, value)));
        }
        list
    }

    struct Named(Serialized<figment::value::Value>);

    impl Provider for Named {
        fn metadata(&self) -> figment::Metadata {
            figment::Metadata::named("environment")
        }
        fn data(
            &self,
        ) -> figment::error::Result<figment::value::Map<figment::Profile, figment::value::Dict>> {
            self.0.data()
        }
    }

    fn load(toml: &str, pairs: &[(&str, &str)], flags: &Overrides) -> Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("clipcore.toml");
        std::fs::write(&file, toml).unwrap();
        Config::load_from(Some(&file), env(pairs), Serialized::defaults(flags))
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file() {
        let toml = "out = \"file\"\nconsent = \"face\"\n[engine]\nlateness = 3\n[clips]\nstills = false\n";
        let pairs = [("CLIPCORE__OUT", "env"), ("CLIPCORE__ENGINE__LATENESS", "4.5")];
        let flags = Overrides { out: Some("flag".into()), ..Overrides::default() };
        let config = load(toml, &pairs, &flags).unwrap();
        assert_eq!(config.out, Path::new("flag"));
        assert_eq!(config.engine.lateness.as_secs_f64(), 4.5);
        assert!(config.consent.face && !config.clips.stills);
        assert_eq!(config.engine.max_buffered, EngineConfig::default().max_buffered);
    }

    #[test]
    fn the_defaults_survive_their_own_file() {
        let written = Config::default().to_toml().unwrap();
        assert_eq!(load(&written, &[], &Overrides::default()).unwrap(), Config::default());
    }

    #[test]
    fn errors_point_at_the_key() {
        for (toml, says) in [
            ("colour = 1\n", &["unknown key \"colour\"", "line 1", "known here are stream, out"][..]),
            (
                "\n[engine]\nlatenes = 3\n",
                &["unknown key \"engine.latenes\"", "line 3", "did you mean \"lateness\"?"],
            ),
            ("[engin]\nlateness = 3\n", &["unknown key \"engin\"", "line 1", "did you mean \"engine\"?"]),
            (
                "[engine]\nlateness = \"fast\"\n",
                &["engine.lateness is the text \"fast\"", "line 2", "a number"],
            ),
            ("[engine]\nlateness = -1\n", &["engine.lateness", "-1 is not a duration", "line 2"]),
            ("[engine]\nmax_buffered = 0\n", &["engine.max_buffered is 0"]),
            (
                "[clips]\nprofile = \"exakt\"\n",
                &["clips.profile cannot be \"exakt\"", "did you mean \"exact\"?"],
            ),
            ("clips = 3\n", &["clips is 3", "a section"]),
            ("consent = \"everything\"\n", &["consent", "unknown consent", "chat_text, face"]),
            ("stream = \"../x\"\n", &["stream", "is not a stream id"]),
            ("out = \"\"\n", &["out is empty"]),
            ("out = [\n", &["line"]),
        ] {
            let err = load(toml, &[], &Overrides::default()).unwrap_err();
            let text = crate::output::render_error(&anyhow::Error::new(err));
            for part in says {
                assert!(text.contains(part), "{toml:?} gave\n{text}\nwhich lacks {part:?}");
            }
        }
    }

    #[test]
    fn an_error_in_the_environment_names_the_variable() {
        for (name, value, says) in [
            ("CLIPCORE__ENGINE__LATENES", "3", "did you mean \"lateness\"?"),
            ("CLIPCORE__CLIPS__STILLS", "7", "true or false"),
        ] {
            let err = load("", &[(name, value)], &Overrides::default()).unwrap_err();
            let text = crate::output::render_error(&anyhow::Error::new(err));
            assert!(text.contains(name) && text.contains(says), "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let err = Config::load_from(Some(Path::new("no/such.toml")), Figment::new(), Figment::new());
        let text = err.unwrap_err().to_string();
        assert!(text.contains("cannot be read") && text.contains("no/such.toml"), "{text}");
    }
}
