//! Which backend runs models, why, and which models are there.

use super::{Check, Verdict};
use crate::models::ModelsConfig;

/// The backend and the models.
pub(super) fn checks(config: &ModelsConfig) -> Vec<Check> {
    vec![backend(config), models(config)]
}

fn backend(config: &ModelsConfig) -> Check {
    let runtime = match config.runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            let advice = error.hint().unwrap_or("leave models.library out").to_owned();
            return Check::new("inference", Verdict::Missing, error.to_string(), advice);
        }
    };
    let found = runtime.found();
    let passed_over: Vec<String> = found
        .tried
        .iter()
        .filter_map(|t| Some(format!("{} ({}): {}", t.path.display(), t.why, t.problem.as_ref()?)))
        .collect();
    let used = found.tried.iter().find(|t| t.problem.is_none());
    let mut text = match used {
        Some(used) => format!("{}, {} ({})", found.backend, used.path.display(), used.why),
        None => format!("{}: no native ONNX Runtime is found", found.backend),
    };
    text.push_str(&format!("; {} threads", found.threads));
    if !passed_over.is_empty() {
        text.push_str(&format!("; passed over: {}", passed_over.join("; ")));
    }
    let advice = match found.native {
        true => "",
        false => {
            "the native library is several times faster: pip install onnxruntime, or name it in CLIPCORE_ONNXRUNTIME"
        }
    };
    let verdict = if found.native { Verdict::Ok } else { Verdict::Optional };
    Check::new("inference", verdict, text, advice)
}

fn models(config: &ModelsConfig) -> Check {
    let store = config.store();
    let listed = match store.list() {
        Ok((models, _)) => models,
        Err(error) => return Check::new("models", Verdict::Optional, error.to_string(), ""),
    };
    let there: Vec<&str> = listed.iter().filter(|m| m.is_there()).map(|m| m.card.name.as_str()).collect();
    let found = match there.is_empty() {
        true => format!("none in {}", store.dir().display()),
        false => format!("{} (folder {})", there.join(", "), store.dir().display()),
    };
    let mut wanted = vec![
        ("audio_tagger", &config.audio),
        ("face, with --consent face,", &config.faces),
        ("face, with --consent face,", &config.expressions),
    ];
    wanted.extend(config.voice.as_ref().map(|voice| ("voice_activity", voice)));
    let missing = wanted.iter().filter_map(|(detector, name)| match store.find(name) {
        Ok(model) if model.is_there() => None,
        Ok(model) => Some(format!("{detector} needs the model {name:?}: {}", model.how_to_get())),
        Err(_) => Some(format!("{detector} needs the model {name:?}: see `clipcore models list`")),
    });
    let missing: Vec<String> = missing.collect();
    let verdict = if missing.is_empty() { Verdict::Ok } else { Verdict::Optional };
    Check::new("models", verdict, found, missing.join("; "))
}
