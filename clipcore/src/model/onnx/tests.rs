use super::*;
use crate::conformance::onnx::{Attribute, OnnxFile};
use crate::model::{Model, Tensors};

/// The pure backend always; the native one where its library is found.
fn runtimes() -> Vec<Runtime> {
    let pure = RuntimeConfig { backend: BackendChoice::Pure, threads: 1, ..RuntimeConfig::default() };
    let mut all = vec![Runtime::open(&pure).unwrap()];
    let native = RuntimeConfig { backend: BackendChoice::Native, threads: 1, ..RuntimeConfig::default() };
    match Runtime::open(&native) {
        Ok(native) => all.push(native),
        Err(error) => eprintln!("SKIPPED: the native backend: {error}"),
    }
    all
}

/// `scores = x · w`, two numbers a row.
fn product(batch: &str) -> OnnxFile {
    OnnxFile::new()
        .input("x", "float32", &[batch, "3"])
        .weight_f32("w", &[3, 2], &[1.0, 0.0, 0.0, 1.0, 10.0, 10.0])
        .node("MatMul", &["x", "w"], &["scores"], &[])
        .output("scores", "float32", &[batch, "2"])
}

fn item(x: &[f32]) -> Tensors {
    Tensor::from_shape_vec(vec![x.len()], x.to_vec()).unwrap().into()
}

fn numbers(tensors: &Tensors) -> Vec<f32> {
    tensors.first().unwrap().iter().copied().collect()
}

fn load(runtime: &Runtime, file: &OnnxFile) -> OnnxModel {
    OnnxModel::from_bytes(runtime, "m", &file.bytes(), "m.onnx").unwrap()
}

#[test]
fn items_go_in_without_their_batch_axis_and_come_out_so() {
    for runtime in runtimes() {
        for (batch, limit) in [("N", 32), ("1", 1)] {
            let model = load(&runtime, &product(batch));
            assert_eq!(model.batch_limit(), limit);
            let out = model.infer(&[item(&[1.0, 2.0, 0.0]), item(&[0.0, 0.0, 1.0])]).unwrap();
            assert_eq!(out[0].first().unwrap().shape(), [2]);
            assert_eq!([numbers(&out[0]), numbers(&out[1])], [[1.0, 2.0], [10.0, 10.0]], "{batch}");
        }
    }
}

#[test]
fn several_inputs_and_outputs_go_by_name_and_states_go_whole() {
    // A running sum: the state of shape [2, 1, 2] has no batch axis, the rate is a single whole number.
    let file = OnnxFile::new()
        .input("x", "float32", &["batch", "2"])
        .input("state", "float32", &["2", "1", "2"])
        .input("rate", "int64", &[])
        .node("Add", &["state", "x"], &["next"], &[])
        .node("Cast", &["rate"], &["r"], &[("to", Attribute::Int(1))])
        .node("Mul", &["x", "r"], &["y"], &[])
        .output("y", "float32", &["batch", "2"])
        .output("next", "float32", &["2", "1", "2"]);
    for runtime in runtimes() {
        let model = load(&runtime, &file);
        let mut state = Tensor::zeros(vec![2, 1, 2]);
        for step in 1..=3 {
            let item = Tensors::new()
                .with("rate", Tensor::from_elem(vec![], 16000.0))
                .with("state", state.clone())
                .with("x", Tensor::from_elem(vec![2], 0.5));
            let out = model.infer(&[item]).unwrap().remove(0);
            assert_eq!(out.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["y", "next"]);
            assert_eq!(out.get("y").unwrap().iter().copied().collect::<Vec<_>>(), [8000.0, 8000.0]);
            state = out.get("next").unwrap().clone();
            assert_eq!(state.shape(), [2, 1, 2]);
            assert!(state.iter().all(|x| *x == 0.5 * step as f32), "{state}");
        }
    }
}

#[test]
fn a_question_of_another_shape_is_refused_by_name() {
    for runtime in runtimes() {
        let model = load(&runtime, &product("N"));
        let error = model.infer(&[item(&[1.0, 2.0])]).unwrap_err().to_string();
        for part in ["m.onnx", "\"x\"", "[3]", "[2]"] {
            assert!(error.contains(part), "{error}");
        }
        let error = model.infer(&[Tensors::new()]).unwrap_err().to_string();
        assert!(error.contains("takes 1 inputs, not 0"), "{error}");
    }
}

#[test]
fn a_graph_says_what_goes_in_and_comes_out() {
    let graph = Graph::read(&product("N").bytes()).unwrap();
    assert_eq!(graph.inputs.len(), 1, "weights are no inputs");
    assert_eq!(graph.inputs[0].to_string(), "x float32 [N, 3]");
    assert_eq!(graph.outputs[0].to_string(), "scores float32 [N, 2]");
    assert_eq!((graph.opset, graph.parameters), (17, 6));
    assert!(graph.operators.contains("MatMul"));
}

/// Files that must not load, and what their errors have to say.
fn bad_files() -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    let good = product("N").bytes();
    let huge = OnnxFile::new()
        .input("x", "float32", &["N", "3"])
        .weight_i64("shape", &[2], &[1 << 20, 1 << 20])
        .node("ConstantOfShape", &["shape"], &["y"], &[])
        .output("y", "float32", &["N", "3"]);
    // Says 2^40 weights, holds six.
    let lying = OnnxFile::new().weight_f32("w", &[1 << 20, 1 << 20], &[0.0; 6]).bytes();
    let half = OnnxFile::new()
        .input("x", "float16", &["N", "3"])
        .node("Identity", &["x"], &["y"], &[])
        .output("y", "float16", &["N", "3"]);
    vec![
        ("empty", Vec::new(), vec!["empty"]),
        ("truncated", good[..good.len() - 20].to_vec(), vec!["not a whole ONNX model", "SHA-256"]),
        ("cut in half", good[..good.len() / 2].to_vec(), vec!["not a whole ONNX model"]),
        ("noise", (0..999u32).map(|i| ((i * 7919) >> 3) as u8 | 1).collect(), vec!["not a whole ONNX model"]),
        (
            "a pickle renamed",
            b"\x80\x02}q\x00(X\x05\x00".to_vec(),
            vec!["Python pickle", "torch.onnx.export"],
        ),
        ("a zip", b"PK\x03\x04archive/data.pkl".to_vec(), vec!["zip archive"]),
        ("a page", b"<!DOCTYPE html><html>404".to_vec(), vec!["web page"]),
        ("LFS", b"version https://git-lfs.github.com/spec/v1\n".to_vec(), vec!["Git LFS"]),
        ("TFLite", b"\x1c\x00\x00\x00TFL3....".to_vec(), vec!["TensorFlow Lite"]),
        ("wrong opset", product("N").opset(99).bytes(), vec!["operator set 99", "opset_version=17"]),
        ("old opset", product("N").opset(3).bytes(), vec!["operator set 3"]),
        ("blows up", huge.bytes(), vec!["blows up", "ConstantOfShape"]),
        ("lies about its size", lying, vec!["other numbers than it says"]),
        ("half precision", half.bytes(), vec!["float16", "float32"]),
        (
            "no such operator",
            product("N").node("Frobnicate", &["x"], &["z"], &[]).bytes(),
            vec!["Frobnicate"],
        ),
    ]
}

#[test]
fn bad_files_are_refused_with_their_name_what_was_expected_and_a_remedy() {
    for runtime in runtimes() {
        for (what, bytes, parts) in bad_files() {
            let error = OnnxModel::from_bytes(&runtime, "m", &bytes, "models/bad.onnx").unwrap_err();
            let text = error.to_string();
            assert!(text.contains("models/bad.onnx"), "{what}: {text}");
            assert!(error.hint().is_some(), "{what}: {text}");
            for part in parts {
                assert!(text.contains(part), "{what} on {}: {text}", runtime.found().backend);
            }
        }
    }
}

#[test]
fn an_enormous_file_is_refused_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("enormous.onnx");
    std::fs::File::create(&path).unwrap().set_len(40 << 30).unwrap();
    let error = OnnxModel::load(&runtimes()[0], "m", &path).unwrap_err().to_string();
    assert!(error.contains("enormous.onnx") && error.contains("MiB"), "{error}");
}

#[test]
fn answers_that_are_not_finite_are_an_error_and_not_an_answer() {
    let file = OnnxFile::new().input("x", "float32", &["N", "2"]).node("Log", &["x"], &["y"], &[]).output(
        "y",
        "float32",
        &["N", "2"],
    );
    for runtime in runtimes() {
        let model = load(&runtime, &file);
        assert!(model.infer(&[item(&[1.0, 2.0])]).is_ok());
        for bad in [-1.0, 0.0] {
            let error = model.infer(&[item(&[1.0, bad])]).unwrap_err().to_string();
            assert!(error.contains("not finite") && error.contains("m.onnx"), "{error}");
        }
    }
}

#[test]
fn a_library_that_was_asked_for_is_never_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("libonnxruntime.so");
    for content in [None, Some("this is no library")] {
        if let Some(content) = content {
            std::fs::write(&library, content).unwrap();
        }
        let config = RuntimeConfig { library: Some(library.clone()), ..RuntimeConfig::default() };
        let error = Runtime::open(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.contains("libonnxruntime.so") && text.contains("models.library"), "{text}");
    }
}

#[test]
fn both_backends_agree() {
    let all = runtimes();
    let [pure, native] = &all[..] else { return };
    let weights: Vec<f32> = (0..8 * 9).map(|i| ((i * 37 % 23) as f32 - 11.0) / 20.0).collect();
    let file = OnnxFile::new()
        .input("x", "float32", &["N", "1", "12", "12"])
        .weight_f32("k", &[8, 1, 3, 3], &weights)
        .node(
            "Conv",
            &["x", "k"],
            &["c"],
            &[
                ("kernel_shape", Attribute::Ints(&[3, 3])),
                ("strides", Attribute::Ints(&[1, 1])),
                ("dilations", Attribute::Ints(&[1, 1])),
                ("pads", Attribute::Ints(&[1, 1, 1, 1])),
                ("group", Attribute::Int(1)),
            ],
        )
        .node("Relu", &["c"], &["r"], &[])
        .node("GlobalAveragePool", &["r"], &["p"], &[])
        .node("Sigmoid", &["p"], &["y"], &[])
        .output("y", "float32", &["N", "8", "1", "1"]);
    let x = Tensor::from_shape_fn(vec![1, 12, 12], |i| ((i[1] * 5 + i[2] * 3) % 7) as f32 / 7.0);
    let answers =
        [pure, native].map(|r| load(r, &file).infer(&[x.clone().into(), x.clone().into()]).unwrap());
    for (a, b) in answers[0].iter().zip(&answers[1]) {
        let off = numbers(a).iter().zip(numbers(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-6, "{off}");
    }
}

#[test]
fn mutated_files_are_read_or_refused() {
    let good = product("N").bytes();
    let mut rng = crate::conformance::cases::Rng::new(11);
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(3) {
                0 => bytes[at] = rng.next_u64() as u8,
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, rng.next_u64() as u8),
            }
        }
        if let Ok(graph) = Graph::read(&bytes) {
            assert!(!graph.outputs.is_empty());
        }
    }
}
