use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ClipSink, Delivery};
use crate::cutter::Clip;
use crate::durable::{blocking, create_dir, sync_dir, write_error};
use crate::ids::hex;
use crate::log::Receipt;
use crate::{Error, ErrorKind, Result};

/// Ends the names of files that are being written.
const TEMP: &str = ".clipcore-tmp";

/// How a clip gets into the other folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HandOver {
    /// By hard link, which takes no room; by copy where the file system cannot link. The default.
    #[default]
    Link,
    /// By copy, so that changes of one file do not reach the other.
    Copy,
}

/// Hands finished clips to another folder, under the name they have with their id added.
///
/// A file appears there whole or not at all (temporary → fsync → rename, or a hard link). A clip that is there
/// already is not handed over again, across restarts too. A copy's SHA-256 is checked where the clip has one.
/// It [wants](ClipSink::wants) `ready` clips only; thumbnails and previews stay where they are.
///
/// # Errors
/// `NotFound` where the clip's file is gone; `Corrupt` where it is not what the clip says; `DiskFull` (retryable)
/// or `Io`.
///
/// # Cancel safety
/// A `deliver` that is dropped may still finish; delivering again then says `duplicate`.
#[derive(Debug)]
pub struct FilesSink {
    name: Arc<str>,
    dir: PathBuf,
    how: HandOver,
}

impl FilesSink {
    /// Hands over to `dir`, which is created where it is missing; named `files`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { name: "files".into(), dir: dir.into(), how: HandOver::Link }
    }

    /// Chooses between link and copy.
    #[must_use]
    pub fn with_hand_over(mut self, how: HandOver) -> Self {
        self.how = how;
        self
    }

    /// Gives it another name, so that a pipeline can have several.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }
}

#[async_trait]
impl ClipSink for FilesSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, item: &Delivery) -> bool {
        item.is_finished_clip()
    }

    async fn check(&self) -> Result<()> {
        let dir = self.dir.clone();
        blocking(move || {
            create_dir(&dir)?;
            remove_leftovers(&dir)?;
            let probe = dir.join(format!("check{TEMP}"));
            File::create(&probe).map_err(|e| write_error(e, &probe))?;
            fs::remove_file(&probe).map_err(|e| write_error(e, &probe))
        })
        .await
        .map_err(|e| e.with_operation("files::check"))
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        let mut receipt = item.receipt(&self.name);
        let finished = item.finished_clip().map_err(|e| e.with_operation("files::deliver"))?;
        let Some((clip, file)) = finished else { return Ok(receipt) };
        let (to, file) = (self.dir.join(file_name(clip, file)), file.to_owned());
        receipt.location = Some(to.display().to_string());
        let (how, sha256) = (self.how, clip.sha256.clone());
        receipt.duplicate = blocking(move || hand_over(&file, &to, how, sha256.as_deref()))
            .await
            .map_err(|e| e.with_context("clip", &clip.id).with_operation("files::deliver"))?;
        Ok(receipt)
    }
}

/// The file's own name with the clip's id, so that two streams' clips never meet.
fn file_name(clip: &Clip, file: &Path) -> String {
    let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or("clip");
    let extension = file.extension().and_then(|s| s.to_str()).unwrap_or("mp4");
    match stem.contains(&*clip.id) {
        true => format!("{stem}.{extension}"),
        false => format!("{stem}-{}.{extension}", clip.id),
    }
}

/// Gives whether it was there already.
fn hand_over(from: &Path, to: &Path, how: HandOver, sha256: Option<&str>) -> Result<bool> {
    let source = fs::metadata(from).map_err(|e| {
        Error::io(e, from).with_hint("the clip was moved or deleted before it could be handed over")
    })?;
    let dir = to.parent().unwrap_or(Path::new(""));
    match fs::metadata(to) {
        // Files appear whole and a clip is never cut twice, so a file of that name and size is the clip.
        Ok(there) if there.len() == source.len() => return Ok(true),
        _ => create_dir(dir)?,
    }
    let mut temp = to.as_os_str().to_owned();
    temp.push(TEMP);
    let temp = PathBuf::from(temp);
    let _ = fs::remove_file(&temp);
    if how == HandOver::Copy || fs::hard_link(from, &temp).is_err() {
        let copied = copy(from, &temp).map_err(|e| write_error(e, to));
        let copied = copied.and_then(|found| match sha256 {
            Some(want) if found != want => {
                Err(Error::new(ErrorKind::Corrupt, "the clip's file is not what was cut")
                    .with_context("path", from.display())
                    .with_context("sha256", found))
            }
            _ => Ok(()),
        });
        if let Err(e) = copied {
            let _ = fs::remove_file(&temp);
            return Err(e);
        }
    }
    fs::rename(&temp, to).map_err(|e| write_error(e, to))?;
    sync_dir(dir)?;
    Ok(false)
}

/// Copies, syncs, and gives the SHA-256 in hex.
fn copy(from: &Path, to: &Path) -> io::Result<String> {
    let (mut input, mut output) = (File::open(from)?, File::create(to)?);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let n = input.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        output.write_all(&buffer[..n])?;
    }
    output.sync_all()?;
    Ok(hex(&hash.finalize()))
}

/// What a crash left half written.
fn remove_leftovers(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|e| Error::io(e, dir))? {
        let path = entry.map_err(|e| Error::io(e, dir))?.path();
        if path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.ends_with(TEMP)) {
            fs::remove_file(&path).map_err(|e| Error::io(e, &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::sink as kit;
    use crate::cutter::ClipState;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn conforms() {
        let from = tempfile::tempdir().unwrap();
        let clip = from.path().join("0042-laughter.mp4");
        fs::write(&clip, vec![7; 300_000]).unwrap();
        for how in [HandOver::Link, HandOver::Copy] {
            let to = std::sync::Mutex::new(Vec::new());
            let make = async || {
                let dir = tempfile::tempdir()?;
                let sink = FilesSink::new(dir.path()).with_hand_over(how);
                to.lock().unwrap().push(dir);
                Ok(sink)
            };
            kit::sink(make, async |sink: &FilesSink| names(&sink.dir).len(), &clip).await;
            let dir = tempfile::tempdir().unwrap();
            let open = async || Ok(FilesSink::new(dir.path()).with_hand_over(how));
            kit::sink_reopened(open, async |_| names(dir.path()).len(), &clip).await;
        }
    }

    #[tokio::test]
    async fn the_file_is_the_clip_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let clip = dir.path().join("a.mp4");
        fs::write(&clip, b"clip").unwrap();
        let to = dir.path().join("to");
        fs::create_dir(&to).unwrap();
        fs::write(to.join(format!("half.mp4{TEMP}")), b"ha").unwrap();
        let sink = FilesSink::new(&to);
        sink.check().await.unwrap();
        let item = kit::clip("s", "c1", ClipState::Ready, Some(&clip));
        let receipt = sink.deliver(&item).await.unwrap();
        assert_eq!(names(&to), ["a-c1.mp4"]);
        assert_eq!(fs::read(receipt.location.unwrap()).unwrap(), b"clip");
    }

    #[tokio::test]
    async fn bad_clips_are_refused_with_reasons() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.mp4");
        fs::write(&file, b"clip").unwrap();
        let to = dir.path().join("to");
        let sink = FilesSink::new(&to).with_hand_over(HandOver::Copy);

        let changed = kit::clip("s", "c1", ClipState::Ready, Some(&file));
        fs::write(&file, b"clap").unwrap();
        let gone = kit::clip("s", "c2", ClipState::Ready, Some(&file));
        let Delivery::Clip { clip, .. } = gone else { unreachable!() };
        let gone = Delivery::Clip { clip, file: Some(dir.path().join("b.mp4")) };
        let escaping = kit::clip("s", "../../c3", ClipState::Ready, Some(&file));
        let nowhere = kit::clip("s", "c4", ClipState::Ready, None);
        for (item, kind, says) in [
            (changed, ErrorKind::Corrupt, "not what was cut"),
            (gone, ErrorKind::NotFound, "moved or deleted"),
            (escaping, ErrorKind::InvalidInput, "is not a clip id"),
            (nowhere, ErrorKind::NotFound, "no file on this machine"),
        ] {
            let err = sink.deliver(&item).await.unwrap_err();
            assert_eq!(err.kind(), kind, "{err}");
            assert!(err.to_string().contains(says), "{err}");
            assert!(!err.is_retryable());
        }
        assert!(names(&to).is_empty(), "a refused clip left {:?}", names(&to));
    }
}
