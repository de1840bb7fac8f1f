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
        ("[[group]]", "[[constant]]\ninput = \"sr\"\nvalue = nan\n\n[[group]]", "\"sr\""),
        ("[[group]]", "[[constant]]\ninput = \"sr\"\nvalue = 1e60\n\n[[group]]", "\"sr\""),
    ] {
        let error = Card::parse(&TAGGER.replace(from, to)).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Config);
        assert!(error.to_string().contains(part), "{to}: {error}");
    }
    let error = Card::parse(&TAGGER.replace("hop = 160", "hop = \"long\"")).unwrap_err().to_string();
    assert!(error.contains("line: 18"), "{error}");
}
