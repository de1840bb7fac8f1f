//! Any bytes as an ONNX file: a description of the graph, or an error.
#![no_main]

use clipcore::model::Graph;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(graph) = Graph::read(bytes) {
        assert!(!graph.outputs.is_empty());
    }
});
