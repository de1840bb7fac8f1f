use super::*;
use crate::conformance::onnx::OnnxFile;
use crate::model::onnx::Graph;

const TAGGER: &str = r#"
format = 1
name = "tiny"
task = "audio_tags"
file = "tiny.onnx"
licence = "CC0-1.0"
source = "made by this test"
labels = ["Laughter", "Clapping"]

[input]
name = "patches"
shape = ["batch", 96, 64]
kind = "log_mel"

[input.log_mel]
rate = 16000
window = 400
hop = 160
fft = 512
spectrum = "magnitude"
mel = "htk"
bands = 64
low = 125.0
high = 7500.0
log = "natural"
offset = 0.001

[[output]]
name = "scores"
shape = ["batch", 2]

[[group]]
label = "laughter"
labels = ["Laughter"]
"#;

fn graph(input: &str, shape: &[&str], classes: &str) -> Graph {
    let file = OnnxFile::new()
        .input(input, "float32", shape)
        .node("Identity", &[input], &["scores"], &[])
        .output("scores", "float32", &["N", classes]);
    Graph::read(&file.bytes()).unwrap()
}

#[test]
fn the_shipped_cards_are_whole_and_have_a_way_to_their_files() {
    let cards = shipped().unwrap();
    for card in &cards {
        assert!(card.sha256.is_some() && card.bytes.is_some(), "{}", card.name);
        assert!(card.url.is_some() || card.recipe.is_some(), "{}", card.name);
    }
    let yamnet = &cards[0];
    assert_eq!(yamnet.labels.len(), 521);
    assert_eq!(&yamnet.labels[62], "Applause");
    assert_eq!(Card::parse(&yamnet.to_toml().unwrap()).unwrap(), *yamnet);
}

#[test]
fn every_mismatch_with_the_model_is_named() {
    let card = Card::parse(TAGGER).unwrap();
    card.check(&graph("patches", &["N", "96", "64"], "2")).unwrap();
    card.check(&graph("patches", &["1", "96", "64"], "2")).unwrap();
    let error = card.check(&graph("patches", &["N", "98", "64"], "7")).unwrap_err().to_string();
    for part in ["\"patches\" is [N, 98, 64]", "[batch, 96, 64]", "\"scores\" is [N, 7]"] {
        assert!(error.contains(part), "{error}");
    }
    let error = card.check(&graph("waveform", &["N", "96", "64"], "2")).unwrap_err().to_string();
    for part in ["no input \"patches\"", "needs the input \"waveform\""] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_card_that_contradicts_itself_says_where() {
    for (from, to, part) in [
        ("bands = 64", "bands = 40", "log_mel.bands is 40"),
        ("high = 7500.0", "high = 9000.0", "low < high"),
        ("\"batch\", 2]", "\"batch\", 3]", "2 labels for 3 numbers"),
        ("labels = [\"Laughter\"]", "labels = [\"Guffaw\"]", "\"Guffaw\", which is not among the labels"),
        ("file = \"tiny.onnx\"", "file = \"../tiny.onnx\"", "not the name of a file beside the card"),
        ("kind = \"log_mel\"", "kind = \"waveform\"", "[input.waveform] is missing"),
        ("format = 1", "format = 2", "format 2"),
        ("task = \"audio_tags\"", "task = \"tags\"", "tags"),
        ("licence", "license", "license"),
    ] {
        let error = Card::parse(&TAGGER.replace(from, to)).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Config);
        assert!(error.to_string().contains(part), "{to}: {error}");
    }
    let error = Card::parse(&TAGGER.replace("hop = 160", "hop = \"long\"")).unwrap_err().to_string();
    assert!(error.contains("line: 18"), "{error}");
}

/// The shipped cards against the real files, where they are.
#[test]
fn the_shipped_cards_fit_their_models() {
    let Some(shared) = shared() else { return };
    let folders = ["yamnet", "yunet", "ultraface", "fer", "silero"];
    for (card, folder) in shipped().unwrap().iter().zip(folders) {
        let bytes = std::fs::read(shared.join("models").join(folder).join(&card.file)).unwrap();
        card.check(&Graph::read(&bytes).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", card.name));
        assert_eq!(card.bytes, Some(bytes.len() as u64), "{}", card.name);
        use sha2::Digest;
        let sum = crate::hex(&sha2::Sha256::digest(&bytes));
        assert_eq!(card.sha256.as_deref(), Some(sum.as_str()), "{}", card.name);
    }
}

fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let dir = std::env::var_os("CLIPCORE_SHARED").map_or(beside, PathBuf::from);
    if !dir.join("models").is_dir() {
        eprintln!("SKIPPED: the real models: {} is not there", dir.display());
        return None;
    }
    Some(dir)
}
