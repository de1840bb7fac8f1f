//! `clipcore models`: which models there are, and fetching them. Nothing else in clipcore reaches for the network.

mod pull;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use clipcore::model::card::{Card, Task};
use clipcore::model::{ModelFile, ModelStore, StoredModel};
use clipcore::{Error, ErrorKind};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use serde::Serialize;

use crate::cli::Global;
use crate::config::Overrides;
use crate::exit::Exit;
use crate::models::ModelsConfig;
use crate::output;

/// Arguments of `models`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore models list                              what is known, and what is here
  clipcore models pull yunet ultraface              fetches and checks them
  clipcore models pull yamnet --mirror /mnt/models  takes it from a folder, without network
  clipcore models info my_tagger.onnx               what a card and its model say
The folder is models.dir of the configuration (CLIPCORE__MODELS__DIR).")]
pub struct ModelsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// What `models` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum ModelsCommand {
    /// Shows the known models, and which are here
    List {
        /// One JSON line for each model
        #[arg(long)]
        json: bool,
    },
    /// Fetches models, goes on where it stopped, and checks what came
    Pull {
        /// Names, as `list` shows them
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// A folder that has the files, or the URL of one, instead of the models' own sources
        #[arg(long, value_name = "DIR|URL")]
        mirror: Option<String>,
    },
    /// Compares files with the checksums of their cards, and loads them
    Verify {
        /// Names or paths; all that are here where absent
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Shows a model's card, and what its file takes and gives
    Info {
        /// A name, or the path of an ONNX file with its card beside it
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Deletes models from the folder
    Remove {
        /// Names, as `list` shows them
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Runs the command.
///
/// # Errors
/// Where a model is not known, cannot be fetched, or is not what its card says.
pub fn run(args: &ModelsArgs, global: &Global) -> Result<Exit> {
    let config = global.config(&Overrides::default())?.models;
    let store = config.store();
    match &args.command {
        ModelsCommand::List { json } => list(&store, *json),
        ModelsCommand::Pull { names, mirror } => pull::run(&store, names, mirror.as_deref(), global.quiet),
        ModelsCommand::Verify { names } => verify(&config, names),
        ModelsCommand::Info { name } => info(&config, name),
        ModelsCommand::Remove { names } => remove(&store, names),
    }
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    task: Task,
    about: &'a str,
    licence: &'a str,
    source: &'a str,
    bytes: Option<u64>,
    here: bool,
    path: String,
}

fn list(store: &ModelStore, json: bool) -> Result<Exit> {
    let (models, errors) = store.list()?;
    for error in errors {
        output::note(&format!("passed over: {error}"));
    }
    if json {
        for model in &models {
            let Card { name, task, about, licence, source, bytes, .. } = &model.card;
            let (here, path) = (model.is_there(), model.origin());
            output::json_line(&Row { name, task: *task, about, licence, source, bytes: *bytes, here, path })?;
        }
        return Ok(Exit::Done);
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["name", "here", "size", "licence", "what it is"]);
    for StoredModel { card, file } in &models {
        let here = match file {
            ModelFile::Embedded(_) => "built in",
            ModelFile::Path(path) if path.is_file() => "yes",
            ModelFile::Path(_) if card.url.is_some() => "no",
            ModelFile::Path(_) => "no (by recipe)",
        };
        let size = card.bytes.map_or(String::new(), |n| format!("{:.1} MB", n as f64 / 1e6));
        table.add_row([&card.name, here, &size, &card.licence, &card.about]);
    }
    output::text(&format!("{table}\n\nfolder: {}\n", store.dir().display()))?;
    Ok(Exit::Done)
}

/// Loads each on the backend that would run it; the first error is the outcome.
fn verify(config: &ModelsConfig, names: &[String]) -> Result<Exit> {
    let store = config.store();
    let models = match names {
        [] => store.list()?.0.into_iter().filter(StoredModel::is_there).collect(),
        names => names.iter().map(|name| store.find(name)).collect::<clipcore::Result<Vec<_>>>()?,
    };
    let runtime = config.runtime()?;
    let mut first = None;
    for model in models {
        match model.load(&runtime) {
            Ok(_) if model.card.sha256.is_some() => output::text(&format!("ok    {}\n", model.card.name))?,
            Ok(_) => output::text(&format!("ok    {} (its card has no sha256)\n", model.card.name))?,
            Err(error) => {
                output::text(&format!("BAD   {}\n", model.card.name))?;
                first = first.or(Some(error));
            }
        }
    }
    first.map_or(Ok(Exit::Done), |error| Err(error.into()))
}

fn info(config: &ModelsConfig, name: &str) -> Result<Exit> {
    let model = config.store().find(name)?;
    let mut text = format!("# {}\n{}", model.origin(), model.card.to_toml()?);
    if model.is_there() {
        let runtime = config.runtime()?;
        let loaded = model.load(&runtime)?;
        let graph = loaded.graph();
        text.push_str(&format!("\n# runs on {}; operator set {}; ", loaded.runs_on(), graph.opset));
        text.push_str(&format!("{} weights; written by {}\n", graph.parameters, graph.producer));
        graph.inputs.iter().for_each(|port| text.push_str(&format!("# takes {port}\n")));
        graph.outputs.iter().for_each(|port| text.push_str(&format!("# gives {port}\n")));
        loaded.remarks().iter().for_each(|remark| text.push_str(&format!("# {remark}\n")));
    } else {
        text.push_str("\n# the file is not here\n");
    }
    output::text(&text)?;
    Ok(Exit::Done)
}

fn remove(store: &ModelStore, names: &[String]) -> Result<Exit> {
    for name in names {
        let model = store.find(name)?;
        let inside = |path: &PathBuf| path.parent() == Some(store.dir());
        let path = match &model.file {
            ModelFile::Path(path) if inside(path) => path.clone(),
            _ => {
                let text = format!("{name:?} does not lie in the models' folder");
                return Err(Error::new(ErrorKind::Unsupported, text)
                    .with_hint("only what `clipcore models pull` put there is removed")
                    .into());
            }
        };
        let mut removed = false;
        for path in [path.clone(), Card::path_beside(&path), pull::part(&path)] {
            match std::fs::remove_file(&path) {
                Ok(()) => removed = true,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io(e, &path).into()),
            }
        }
        output::note(&format!("{name}: {}", if removed { "removed" } else { "was not here" }));
    }
    Ok(Exit::Done)
}
